//! How a bench runs: each part in a separate process, so that no part inherits the allocator state of another; and the
//! rows of the printed table.

#![allow(dead_code, reason = "each bench uses some of it")]

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use actix::System;

/// Names the part that a process is to run.
const PART: &str = "REDRIVE_BENCH_PART";

/// The part that this process runs, if it was started for one.
pub fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// Whether the section is to be run: it was named, or none was.
pub fn wanted(section: &str) -> bool {
    let mut named = std::env::args()
        .skip(1)
        .filter(|argument| argument.starts_with(char::is_alphabetic))
        .peekable();
    named.peek().is_none() || named.any(|name| name == section)
}

/// A process for the part, whose output is to be read. It has the same arguments.
pub fn process(part: &str) -> Child {
    let this = std::env::current_exe().expect("this program has a path");
    Command::new(this)
        .args(std::env::args().skip(1))
        .env(PART, part)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs")
}

/// The output of the part.
pub fn in_its_own_process(part: &str) -> String {
    let output = process(part).wait_with_output().expect("it ends");
    assert!(output.status.success(), "{part}: {}", output.status);
    String::from_utf8(output.stdout).expect("it prints text")
}

pub fn header() {
    println!("| measure | value | ratio |\n|---|---:|---:|");
}

pub fn row(measure: &str, value: impl std::fmt::Display, ratio: impl std::fmt::Display) {
    println!("| {measure} | {value} | {ratio} |");
}

pub fn in_system<R>(work: impl Future<Output = R>) -> R {
    System::new().block_on(work)
}

pub fn rate(events: u64, started: Instant) -> f64 {
    events as f64 / started.elapsed().as_secs_f64()
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub fn millions(rate: f64) -> String {
    format!("{:.2} M/s", rate / 1e6)
}

/// Resident memory, in bytes.
pub fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok())
        .unwrap_or(0.0)
        * 4096.0
}
