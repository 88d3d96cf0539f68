//! The structure of `src/`, enforced: nothing imports upwards, no circles, one name for one type, and sizes.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod house;

use std::collections::{BTreeMap, BTreeSet};

use house::{Source, assert_none, file_of, functions, root, sources, types};

/// The folders of `src/`, lowest first. A file uses its own folder and those above it in this table.
const FOLDERS: [(&str, &str); 17] = [
    ("base", "time, locks, threads, panics, signals"),
    ("event", "what an event is"),
    ("error", "the error enums"),
    ("telemetry", "spans, log lines, figures, logs of attempts"),
    ("idempotency", "which events are the same"),
    ("function", "what a function is"),
    ("queue", "the state machine of one function's events"),
    ("mailbox", "the queue behind its lock, and who is woken"),
    ("store", "the trait and its stores, a folder each"),
    ("persistence", "between mailboxes and store"),
    ("admission", "the door: checks, registry, request ids, keys"),
    ("actor", "the actix actors"),
    ("client", "the handle"),
    ("policy", "AWS's policy language"),
    ("http", "the HTTP API"),
    ("runtime", "the composition root"),
    ("testing", "test support for users"),
];

/// Files that are pure as the folders `event`, `error`, `queue` and `policy` are.
const PURE_FILES: [&str; 22] = [
    "actor/dead_letters/kept_letters.rs",
    "actor/dead_letters/kept_letters/full_queue.rs",
    "actor/pace.rs",
    "admission/dedup_keys.rs",
    "base/capacity.rs",
    "base/excerpt.rs",
    "base/expiring_map.rs",
    "base/panic.rs",
    "base/time.rs",
    "function/arn.rs",
    "function/configuration.rs",
    "function/crash_loop.rs",
    "function/dedicated_arbiters.rs",
    "function/retry_decision.rs",
    "function/settings.rs",
    "function/versions.rs",
    "idempotency/executions.rs",
    "idempotency/key.rs",
    "idempotency/mod.rs",
    "idempotency/record.rs",
    "mailbox/wake.rs",
    "mailbox/workers/reap.rs",
];

const LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

fn level(folder: &str) -> Option<usize> {
    FOLDERS.iter().position(|(name, _)| *name == folder)
}

/// All files but the crate page, which re-exports from everywhere.
fn files() -> Vec<Source> {
    let mut sources = sources();
    sources.retain(|source| source.path != "lib.rs");
    sources
}

#[test]
fn every_file_is_in_a_folder_of_the_table() {
    let sources = files();
    let homeless = sources
        .iter()
        .filter(|source| level(source.folder()).is_none());
    let mut violations: Vec<_> = homeless
        .map(|source| format!("{} is in no folder of the table", source.path))
        .collect();
    for (folder, _) in FOLDERS {
        if !sources.iter().any(|source| source.folder() == folder) {
            violations.push(format!("{folder} has no file"));
        }
    }
    assert_none(violations);
}

#[test]
fn no_file_imports_upwards() {
    let mut violations = Vec::new();
    for source in files() {
        let own = level(source.folder()).unwrap();
        for import in source.imports() {
            match import.first().and_then(|folder| level(folder)) {
                Some(other) if other <= own => {}
                Some(other) => violations.push(format!(
                    "{} uses {}, above it in {}",
                    source.path,
                    import.join("::"),
                    FOLDERS[other].0
                )),
                None => violations.push(format!(
                    "{} uses `{}`: name the folder that has it",
                    source.path,
                    import.join("::")
                )),
            }
        }
        if source.code.contains("super::super") {
            violations.push(format!(
                "{} reaches out of its folder with `super::super`",
                source.path
            ));
        }
    }
    assert_none(violations);
}

/// A folder's `mod.rs` and its files may use each other: the folder is one concept, and its head knows its parts.
#[test]
fn no_two_files_import_each_other() {
    let sources = files();
    let sources: Vec<_> = sources.iter().filter(|source| !source.is_test()).collect();
    let modules: BTreeMap<_, _> = sources
        .iter()
        .map(|source| (source.module(), source.path.as_str()))
        .collect();
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for source in &sources {
        let own = source.module();
        for import in source.imports() {
            let Some(file) = file_of(&modules, &import) else {
                continue;
            };
            let other = sources.iter().find(|other| other.path == file).unwrap();
            let other = other.module();
            if !other.starts_with(&own) && !own.starts_with(&other) {
                uses.entry(&source.path).or_default().insert(file);
            }
        }
    }
    assert_none(circles(&uses));
}

/// The files that reach themselves, each with one way round.
fn circles(uses: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let mut found = Vec::new();
    for start in uses.keys() {
        let mut seen = BTreeSet::new();
        let mut ways = vec![vec![*start]];
        while let Some(way) = ways.pop() {
            for next in uses.get(way.last().unwrap()).into_iter().flatten() {
                if next == start {
                    let mut names = way.clone();
                    names.push(start);
                    found.push(names.join(" -> "));
                    ways.clear();
                    break;
                }
                if seen.insert(*next) {
                    let mut longer = way.clone();
                    longer.push(next);
                    ways.push(longer);
                }
            }
        }
    }
    found
}

#[test]
fn no_type_name_is_defined_twice() {
    let sources = sources();
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        for name in types(&source.tested) {
            let places = places.entry(name).or_default();
            if !places.contains(&source.path.as_str()) {
                places.push(&source.path);
            }
        }
    }
    let twice = places.into_iter().filter(|(_, files)| files.len() > 1);
    assert_none(
        twice
            .map(|(name, files)| format!("{name}: {}", files.join(", ")))
            .collect(),
    );
}

/// Features choose modules. An attribute elsewhere says why: in a comment before or behind it, or in its `reason`.
#[test]
fn features_choose_modules_and_imports_only() {
    let mut violations = Vec::new();
    for source in sources() {
        let lines: Vec<_> = source.text.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate() {
            if !line.starts_with("#[cfg") {
                continue;
            }
            let length = attribute_lines(&lines[at..]);
            let attribute = lines[at..at + length].join(" ");
            let mut item = at + length;
            while lines[item].starts_with('#') || lines[item].starts_with("//") {
                item += attribute_lines(&lines[item..]);
            }
            let item = lines[item].trim_start_matches("pub(crate) ");
            let item = item
                .trim_start_matches("pub(super) ")
                .trim_start_matches("pub ");
            let chooses = item.starts_with("mod ") || item.starts_with("use ");
            let before = at.checked_sub(1).map_or("", |before| lines[before]);
            let says_why = attribute.contains("reason =")
                || attribute.contains("// ")
                || (before.starts_with("//") && !before.starts_with("///"));
            if attribute.contains("feature =") && !chooses && !says_why {
                violations.push(format!("{}:{}: {attribute}", source.path, at + 1));
            }
        }
    }
    assert_none(violations);
}

/// How many lines the attribute or comment has that `lines` begin with.
fn attribute_lines(lines: &[&str]) -> usize {
    let is_attribute = lines[0].starts_with('#') && !lines[0].contains(")]");
    match lines.iter().position(|line| line.ends_with(")]")) {
        Some(end) if is_attribute => end + 1,
        _ => 1,
    }
}

#[test]
fn no_file_and_no_function_is_too_long() {
    let mut violations = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            violations.push(format!("{} has {lines} lines", source.path));
        }
        for function in functions(&source.code) {
            if function.lines > FUNCTION_LINES_MAX {
                violations.push(format!(
                    "{}:{}: `{}` has {} lines",
                    source.path, function.line, function.name, function.lines
                ));
            }
        }
    }
    assert_none(violations);
}

#[test]
fn no_file_imports_the_testing_kit() {
    let sources = files();
    let users = sources.iter().filter(|source| {
        source.folder() != "testing"
            && source
                .imports()
                .iter()
                .any(|import| import.first().is_some_and(|folder| folder == "testing"))
    });
    assert_none(users.map(|source| source.path.clone()).collect());
}

#[test]
fn pure_folders_know_neither_actors_nor_clocks_nor_locks() {
    let sources = files();
    let mut violations: Vec<_> = PURE_FILES
        .iter()
        .filter(|file| !sources.iter().any(|source| source.path == **file))
        .map(|file| format!("{file} does not exist"))
        .collect();
    for source in sources {
        let is_pure = ["event", "error", "queue", "policy"].contains(&source.folder());
        if !is_pure && !PURE_FILES.contains(&source.path.as_str()) {
            continue;
        }
        for word in [
            "actix::",
            "tokio::",
            "Mutex",
            "RwLock",
            "Instant",
            "SystemTime::now",
        ] {
            if source.tested.contains(word) {
                violations.push(format!("{} mentions {word}", source.path));
            }
        }
    }
    assert_none(violations);
}

#[test]
fn only_the_clock_reads_the_time() {
    // Threads are held in real time, whatever the clock of the events shows.
    let exempt = ["base/clock.rs", "actor/thread_hold.rs"];
    let mut violations = Vec::new();
    for source in files() {
        if source.is_test() || exempt.contains(&source.path.as_str()) {
            continue;
        }
        for word in ["Instant::now", "SystemTime::now", ".elapsed()"] {
            if source.tested.contains(word) {
                violations.push(format!("{} mentions {word}", source.path));
            }
        }
    }
    assert_none(violations);
}

/// The page says where each decision is made: its table has at least fifteen rows, and the files exist.
#[test]
fn the_architecture_page_names_files_that_exist() {
    let page = std::fs::read_to_string(root().join("src/architecture.md")).unwrap();
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains(".rs`"))
        .count();
    assert!(rows >= 15, "only {rows} questions are answered");
    let missing = named_files(&page).into_iter();
    let missing = missing.filter(|file| !root().join("src").join(file).exists());
    assert_none(
        missing
            .map(|file| format!("{file} does not exist"))
            .collect(),
    );
}

#[test]
fn comments_name_files_that_exist() {
    let mut violations = Vec::new();
    for source in sources() {
        let folder = source
            .path
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        let comments = source
            .text
            .lines()
            .filter(|line| line.trim_start().starts_with("//"));
        for line in comments {
            for file in named_files(line) {
                let places = [
                    root().join(&file),
                    root().join("src").join(&file),
                    root().join("src").join(folder).join(&file),
                ];
                if !places.iter().any(|place| place.exists()) {
                    violations.push(format!("{} names {file}", source.path));
                }
            }
        }
    }
    assert_none(violations);
}

/// Returns what stands in backticks and ends in `.rs`.
fn named_files(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|name| name.ends_with(".rs") && !name.contains(' '))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_reader_sees_groups_parents_and_declared_modules() {
    let text = "mod take;\nuse crate::{base::time::Time, store::{self, EventStore as Kept}};\nuse super::queue::Queue;\n\
                fn f() { crate::client::g::<u8>(); take::h(); other::i(); }";
    let source = Source::new("mailbox/mod.rs".to_owned(), text.to_owned());
    let imports: Vec<_> = source
        .imports()
        .iter()
        .map(|import| import.join("::"))
        .collect();
    assert_eq!(
        imports,
        [
            "base::time::Time",
            "store",
            "store::EventStore",
            "queue::Queue",
            "client::g",
            "mailbox::take::h"
        ]
    );
}

/// A planted import behind a declaration of tests, or behind inline tests, is seen; one within tests is not.
#[test]
fn the_reader_goes_on_behind_tests() {
    let text = "#[cfg(test)]\nmod tests;\nuse crate::a::A;\n#[cfg(test)]\nmod more {\n use crate::b::B;\n}\nuse crate::c::C;\n\
                const TEXT: &str = r#\"crate::d \"}\"#; // crate::e\n";
    let source = Source::new("mailbox/mod.rs".to_owned(), text.to_owned());
    let imports: Vec<_> = source
        .imports()
        .iter()
        .map(|import| import.join("::"))
        .collect();
    assert_eq!(imports, ["a::A", "c::C"]);
}

#[test]
fn a_circle_of_three_is_seen() {
    let uses = BTreeMap::from([
        ("a", BTreeSet::from(["b"])),
        ("b", BTreeSet::from(["c", "d"])),
        ("c", BTreeSet::from(["a"])),
    ]);
    assert_eq!(
        circles(&uses),
        ["a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c"]
    );
}

#[test]
fn the_length_of_a_function_is_counted_from_its_name_to_its_brace() {
    let code = "fn a(x: [u8; 4])\n-> u8 {\n  1\n}\ntrait T {\n  fn b();\n}\nfn c() {}\n";
    let lengths: Vec<_> = functions(code)
        .into_iter()
        .map(|function| (function.name, function.line, function.lines))
        .collect();
    assert_eq!(lengths, [("a".to_owned(), 1, 4), ("c".to_owned(), 8, 1)]);
}
