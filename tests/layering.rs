//! Nothing imports upwards: the map of `src/`, enforced.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::path::{Path, PathBuf};

/// The folders of `src/`, lowest first, with what each holds. A file uses its own folder and those above it in this table.
const FOLDERS: [(&str, &str); 16] = [
    (
        "base",
        "time, locks, threads, panics, signals: knows nothing of events",
    ),
    ("event", "what an event is"),
    ("error", "the error enums"),
    ("telemetry", "spans, log lines, figures, logs of attempts"),
    ("idempotency", "which events are the same"),
    ("function", "what a function is"),
    ("queue", "the state machine of one function's events: pure"),
    ("mailbox", "the queue behind its lock, and who is woken"),
    ("store", "the trait and its stores, a folder each"),
    (
        "admission",
        "the door: checks, registry, request ids, dedup keys",
    ),
    ("actor", "the actix actors"),
    ("client", "the handle"),
    ("policy", "AWS's policy language: pure"),
    ("http", "the HTTP API"),
    ("runtime", "the composition root"),
    ("testing", "test support for users"),
];

/// A source file, without its comments and its own tests.
struct Source {
    path: PathBuf,
    module: String,
    code: String,
}

impl Source {
    fn read(root: &Path, path: PathBuf) -> Self {
        let relative = path.strip_prefix(root).unwrap();
        let module = relative
            .iter()
            .next()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code: Vec<_> = text
            .lines()
            .map(|line| without_text(line.split("//").next().unwrap()))
            .collect();
        Self {
            path: relative.to_owned(),
            module,
            code: code.join("\n"),
        }
    }

    /// The modules that it names by `crate::…`.
    fn imports(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (_, rest) in self
            .code
            .match_indices("crate::")
            .map(|(at, word)| (at, &self.code[at + word.len()..]))
        {
            match rest.strip_prefix('{') {
                Some(group) => all.extend(heads(group)),
                None => all.push(head(rest)),
            }
        }
        all
    }
}

/// The line without what stands in its string literals: an error's text may well name actix.
fn without_text(line: &str) -> String {
    line.split('"').step_by(2).collect()
}

fn head(path: &str) -> String {
    path.chars()
        .take_while(|&c| c.is_alphanumeric() || c == '_')
        .collect()
}

/// The first words of the members of a `{…}` group that was just opened.
fn heads(group: &str) -> Vec<String> {
    let mut depth = 1;
    let mut members = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => members.push(String::new()),
            c => members.last_mut().unwrap().push(c),
        }
        if depth == 0 {
            break;
        }
    }
    members
        .iter()
        .map(|member| head(member.trim()))
        .filter(|name| !name.is_empty())
        .collect()
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(Source::read(&root, path));
            }
        }
    }
    // The crate page re-exports from everywhere.
    sources.retain(|source| source.module != "lib");
    assert!(sources.len() > 20, "found only {} files", sources.len());
    sources
}

fn layer(module: &str) -> Option<usize> {
    FOLDERS.iter().position(|(folder, _)| *folder == module)
}

fn assert_none(violations: Vec<String>) {
    assert!(
        violations.is_empty(),
        "{} violations:\n{}",
        violations.len(),
        violations.join("\n")
    );
}

#[test]
fn every_file_has_its_layer() {
    let homeless = sources()
        .into_iter()
        .filter(|source| layer(&source.module).is_none());
    assert_none(
        homeless
            .map(|source| format!("{} is in no layer: place it", source.path.display()))
            .collect(),
    );
}

#[test]
fn every_layer_names_modules_that_exist() {
    let sources = sources();
    let gone = FOLDERS
        .iter()
        .filter(|(folder, _)| !sources.iter().any(|source| source.module == *folder));
    assert_none(
        gone.map(|(folder, _)| format!("{folder} has no file"))
            .collect(),
    );
}

#[test]
fn nothing_imports_upwards() {
    let mut violations = Vec::new();
    for source in sources() {
        let Some(own) = layer(&source.module) else {
            continue;
        };
        for import in source.imports() {
            match layer(&import) {
                Some(other) if other <= own => {}
                Some(other) => violations.push(format!(
                    "{} ({}) uses {import} ({})",
                    source.path.display(),
                    FOLDERS[own].0,
                    FOLDERS[other].0
                )),
                None => violations.push(format!(
                    "{} uses `crate::{import}`: name the module that has it",
                    source.path.display()
                )),
            }
        }
        if source.code.contains("super::super") {
            violations.push(format!(
                "{} reaches out of its folder with `super::super`",
                source.path.display()
            ));
        }
    }
    assert_none(violations);
}

#[test]
fn nothing_imports_the_testing_kit() {
    let users = sources()
        .into_iter()
        .filter(|source| source.module != "testing");
    let users = users.filter(|source| source.imports().iter().any(|import| import == "testing"));
    assert_none(
        users
            .map(|source| source.path.display().to_string())
            .collect(),
    );
}

#[test]
fn the_model_knows_neither_actors_nor_clocks_nor_locks() {
    let mut violations = Vec::new();
    for source in sources()
        .into_iter()
        .filter(|source| ["event", "error", "queue", "policy"].contains(&source.module.as_str()))
    {
        for word in [
            "actix::",
            "tokio::",
            "Mutex",
            "RwLock",
            "Instant",
            "SystemTime::now",
        ] {
            if source.code.contains(word) {
                violations.push(format!("{} mentions {word}", source.path.display()));
            }
        }
    }
    assert_none(violations);
}

#[test]
fn only_the_clock_reads_the_time() {
    let mut violations = Vec::new();
    for source in sources()
        .into_iter()
        // Threads are held in real time, whatever the clock of the events shows.
        .filter(|source| {
            !source.path.ends_with("base/clock.rs")
                && !source.path.ends_with("actor/thread_hold.rs")
        })
    {
        for word in ["Instant::now", "SystemTime::now", ".elapsed()"] {
            if source.code.contains(word) {
                violations.push(format!("{} mentions {word}", source.path.display()));
            }
        }
    }
    assert_none(violations);
}

#[test]
fn the_reader_of_imports_sees_groups_and_paths() {
    let code =
        "use crate::{time::Time, store::{self, EventStore}};\nfn f() { crate::mailbox::g() }"
            .to_owned();
    let source = Source {
        path: PathBuf::new(),
        module: String::new(),
        code,
    };
    assert_eq!(source.imports(), ["time", "store", "mailbox"]);
}
