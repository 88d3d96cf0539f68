//! Each example runs, succeeds, and prints the output that its header announces.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The lines that the header of an example announces: the `//!` lines after `//! Output:`, without fences and empty
/// lines. Others may stand between them; a line `…` says that they do.
fn announced(source: &str) -> Vec<String> {
    let header = source.lines().map_while(|line| line.strip_prefix("//!"));
    let block = header
        .map(str::trim)
        .skip_while(|line| *line != "Output:")
        .skip(1);
    block
        .filter(|line| !line.is_empty() && *line != "…" && !line.starts_with("```"))
        .map(str::to_owned)
        .collect()
}

/// Returns whether `line` has the announced text. An `…` stands for any text.
fn fits(line: &str, announced: &str) -> bool {
    let mut parts = announced.split('…').map(str::trim);
    let Some(mut rest) = line.trim().strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    // After a closing `…` anything may follow; else the line ends where the announcement does.
    match last {
        Some("") => true,
        Some(part) => rest.is_empty() || line.trim().ends_with(part),
        None => rest.is_empty(),
    }
}

/// The first announced line that is missing from the output, in order.
fn missing<'a>(output: &str, announced: &'a [String]) -> Option<&'a str> {
    let mut lines = output.lines();
    announced
        .iter()
        .find(|wanted| !lines.any(|line| fits(line, wanted)))
        .map(String::as_str)
}

fn run(name: &str) {
    let source = std::fs::read_to_string(folder().join(name).with_extension("rs")).unwrap();
    let announced = announced(&source);
    assert!(
        !announced.is_empty(),
        "examples/{name}.rs says nothing of its output: add an `//! Output:` block"
    );
    let elsewhere = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--offline",
            "--all-features",
            "--manifest-path",
            MANIFEST,
            "--example",
            name,
        ])
        // Nothing is there from earlier.
        .current_dir(elsewhere.path())
        // Printing one holds its thread for 400 ms in a debug build, so that the function would be moved.
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{printed}\n{complaint}",
        output.status
    );
    let missing = missing(&printed, &announced);
    assert_eq!(
        missing, None,
        "missing from the output of examples/{name}.rs:\n{printed}\n{complaint}"
    );
}

macro_rules! examples {
    ($($name:ident),*) => {
        $(#[test] fn $name() { run(stringify!($name)); })*

        #[test]
        fn every_example_is_run_here() {
            // The server has a separate test: it ends only on a signal.
            let known = ["lambda_api", $(stringify!($name)),*];
            for entry in std::fs::read_dir(folder()).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.file_stem().unwrap().to_str().unwrap();
                    assert!(known.contains(&name), "examples/{name}.rs is run by no test: add it to tests/examples.rs");
                }
            }
        }
    };
}

examples!(
    quickstart,
    actix_web,
    dead_letters,
    stateful,
    request_response,
    thumbnails,
    durable
);

/// The next start finishes accepted events, after every end of the one before.
#[test]
fn durable_goes_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut child = Command::new(built("durable"))
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines.map(Result::unwrap))
    };
    let developed = |line: &&String| line.starts_with("developed ");
    let (mut child, mut lines) = start();
    let mut before: Vec<_> = lines.by_ref().take(4).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    before.extend(lines);
    assert_eq!(before[0], "20 photographs accepted, and on the disk");

    let (mut child, lines) = start();
    let after: Vec<_> = lines.collect();
    assert!(child.wait().unwrap().success());
    let left = after[0].strip_suffix(" photographs are left from last time");
    let left: usize = left.unwrap().parse().unwrap();
    assert_eq!(after.len(), left + 2, "{after:?}");
    assert_eq!(after.last().unwrap(), "all are developed");
    let once = before.iter().filter(developed).count();
    assert!(once + left >= 20, "{left} were left after {before:?}");
    let done: BTreeSet<_> = before.iter().chain(&after).filter(developed).collect();
    assert_eq!(done.len(), 20, "{done:?}");
}

/// It listens, responds, and exits with success on a signal.
#[cfg(all(unix, feature = "http"))]
#[test]
fn lambda_api_serves_until_a_signal() {
    use std::io::{Read, Write};

    let mut child = Command::new(built("lambda_api"))
        .args(["--port", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let address = line.strip_prefix("listening on http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let body = r#"{"hello":"world"}"#;
    let request = format!(
        "POST /2015-03-31/functions/echo/invocations HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(body),
        "{answer}"
    );
    let kill = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[cfg(feature = "http")]
#[test]
fn lambda_api_prints_its_flags() {
    let run = |words: &[&str]| {
        Command::new(built("lambda_api"))
            .args(words)
            .output()
            .unwrap()
    };
    let help = run(&["--help"]);
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    for flag in ["--port P ", "--retry-delays MS,MS ", "--auth FILE "] {
        assert!(help.contains(flag), "{help}");
    }
    for function in ["echo ", "context ", "init-fails ", "`weighted`"] {
        assert!(help.contains(function), "{help}");
    }
    for (words, told) in [
        (&["--prot", "9000"][..], "--prot is not a flag"),
        (&["--port"], "--port has no value"),
        (&["--cert", "x"], "--cert and --key need each other"),
    ] {
        let refused = run(words);
        assert!(!refused.status.success());
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(error.starts_with(told), "{error}");
    }
}

#[test]
fn thumbnails_keeps_its_events_in_the_given_folder() {
    let folder = tempfile::tempdir().unwrap();
    let [data, out] = ["data", "out"].map(|name| folder.path().join(name));
    let output = Command::new(built("thumbnails"))
        .args([Path::new("--data"), &data, Path::new("--out"), &out])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(data.join("00000001.log").exists());
}

/// The program of an example.
fn built(name: &str) -> PathBuf {
    // Where this test lies, its examples do.
    let profile = if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    };
    let arguments = ["build", "--quiet", "--offline", "--all-features"];
    let status = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--profile", profile, "--manifest-path", MANIFEST])
        .args(["--example", name])
        .status();
    assert!(status.unwrap().success());
    let tests = std::env::current_exe().unwrap();
    let folder = tests.ancestors().nth(2).unwrap();
    folder.join("examples").join(name)
}

#[test]
fn announced_lines_are_found_in_their_order() {
    let source = "//! An example.\n//!\n//! Output:\n//! ```text\n//! one\n//! …\n//! t…o …\n//! ```\nfn main() {}\n//! no";
    let announced = announced(source);
    assert_eq!(announced, ["one", "t…o …"]);
    assert_eq!(missing("zero\none\ntwo three\n", &announced), None);
    assert_eq!(missing("two three\none\n", &announced), Some("t…o …"));
    assert_eq!(missing("one more\ntwo three\n", &announced), Some("one"));
    assert!(
        fits("took 12 ms", "took … ms")
            && !fits("took 12 ms more", "took … ms")
            && fits("anything", "…")
    );
}
