//! A process that a test may kill: this same test binary, started anew to run one of its tests.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// The variable with a child's task. Its presence makes a process a child.
const TASK: &str = "REDRIVE_TEST_CHILD";
/// The prefix of a child's lines: the test harness prints other lines.
const MARK: &str = "> ";

/// The task of this process, if it is a child.
pub fn task() -> Option<String> {
    std::env::var(TASK).ok()
}

/// The output of a child. A written line can be read after any end of the child.
pub struct Voice(File);

impl Voice {
    pub fn new() -> Self {
        let stdout = std::io::stdout();
        stdout.lock().flush().unwrap();
        let voice = File::from(stdout.as_fd().try_clone_to_owned().unwrap());
        // Ends the line that the harness has begun.
        (&voice).write_all(b"\n").unwrap();
        Self(voice)
    }

    /// Says a line in one piece: a pipe takes up to 4,096 bytes whole or not at all, from any thread.
    pub fn say(&self, line: impl std::fmt::Display) {
        let line = format!("{MARK}{line}\n");
        assert!(line.len() <= 4_096, "a line that may be torn: {line}");
        // The parent is gone, so the child ends.
        if (&self.0).write_all(line.as_bytes()).is_err() {
            std::process::exit(1);
        }
    }
}

/// A child that runs. It is killed when it is dropped.
pub struct Running {
    child: Child,
    lines: Option<Lines>,
}

/// The lines that a child says, until it is gone.
pub struct Lines(BufReader<ChildStdout>);

impl Running {
    /// Starts the test `name` of this binary as a child, on `folder`.
    pub fn start(name: &str, folder: &Path, task: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                name,
                "--exact",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(TASK, format!("{task} {}", folder.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Some(Lines(BufReader::new(child.stdout.take().unwrap())));
        Self { child, lines }
    }

    /// Returns its output; only once.
    pub fn lines(&mut self) -> Lines {
        self.lines.take().unwrap()
    }

    /// Kills it with SIGKILL, unless it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it is gone.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may be gone
        let _ = self.child.wait();
    }
}

impl Iterator for Lines {
    type Item = String;

    /// Returns the next complete line.
    fn next(&mut self) -> Option<String> {
        loop {
            let mut line = Vec::new();
            if self.0.read_until(b'\n', &mut line).unwrap() == 0 || line.pop() != Some(b'\n') {
                return None;
            }
            if let Some(said) = String::from_utf8_lossy(&line).strip_prefix(MARK) {
                return Some(said.to_owned());
            }
        }
    }
}
