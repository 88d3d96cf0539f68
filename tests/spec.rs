//! The account of AWS's behaviour, line by line: the test that checks a line, or the reason for its absence.
//!
//! `spec/ids.txt` lists every line's id. A line is checked by the tests that name it: in a comment or in a text, within
//! `tests` or the test modules of `src`.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Letters before a number that are not a section: `CRC-32`, `UTF-16`.
const NO_SECTIONS: [&str; 2] = ["CRC", "UTF"];

/// Every id of the list, with the reason that stands behind it.
type Reasons = BTreeMap<String, Option<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads the list: an id or a section's letters, then two spaces and a reason if there is one. A section's reason stands for
/// those of its ids that no test names and that have no reason of their own.
fn read_list(list: &str) -> (Reasons, Reasons) {
    let (mut lines, mut sections) = (Reasons::new(), Reasons::new());
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let (id, reason) = match line.split_once("  ") {
            Some((id, reason)) => (id, Some(reason.trim().to_owned())),
            None => (line.trim_end(), None),
        };
        if id.is_empty() {
            continue;
        }
        let all = if id.contains('-') {
            &mut lines
        } else {
            &mut sections
        };
        assert_ne!(reason.as_deref(), Some(""), "the reason of {id} is empty");
        assert!(
            all.insert(id.to_owned(), reason).is_none(),
            "{id} is listed twice"
        );
    }
    (lines, sections)
}

fn section(id: &str) -> &str {
    id.split_once('-').map_or(id, |(section, _)| section)
}

/// The ids that a text names, those of a range (`A to B`, `A..b`) each.
fn named_in(text: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for (dash, _) in text.match_indices('-') {
        let (before, after) = (&text[..dash], &text[dash + 1..]);
        let Some((section, first)) = section_before(before).zip(number_at(after)) else {
            continue;
        };
        let after = &after[2..];
        let to = format!(" to {section}-");
        let last = [&*to, ".."].iter().find_map(|it| after.strip_prefix(it));
        let last = last.and_then(number_at).unwrap_or(first);
        named.extend((first..=last).map(|number| format!("{section}-{number:02}")));
    }
    named
}

/// The section that a text ends with, `ASY`, `S3E` or `XRY2`.
fn section_before(text: &str) -> Option<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let start = text.rfind(|c| !word(c)).map_or(0, |at| {
        at + text[at..].chars().next().map_or(0, char::len_utf8)
    });
    let section = &text[start..];
    let legal = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    let is_section = section.starts_with(|c: char| c.is_ascii_uppercase())
        && (3..=4).contains(&section.len())
        && section.chars().all(legal)
        && !NO_SECTIONS.contains(&section);
    is_section.then_some(section)
}

/// The two digits that a text begins with, if there are two.
fn number_at(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let digits = &text[..digits.unwrap_or(text.len())];
    (digits.len() == 2).then(|| digits.parse().unwrap())
}

/// The files below a folder that may hold tests.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() {
            if !["target", "__pycache__"].contains(&&*name) {
                files(&path, found);
            }
        } else if [".rs", ".py"].iter().any(|end| name.ends_with(end)) {
            found.push(path);
        }
    }
}

/// Returns the test code of a file of `src`.
fn tests_of<'t>(path: &Path, text: &'t str) -> &'t str {
    let whole = path.components().any(|it| {
        let name = it.as_os_str();
        name == "tests" || name == "tests.rs"
    });
    let module = text.find("\nmod tests {").unwrap_or(text.len());
    if whole { text } else { &text[module..] }
}

/// Every id that a test names, with the first file that does.
fn named_by_tests() -> BTreeMap<String, String> {
    let (mut tests, mut sources) = (Vec::new(), Vec::new());
    files(&root().join("tests"), &mut tests);
    files(&root().join("src"), &mut sources);
    let mut named = BTreeMap::new();
    for path in tests.iter().chain(&sources) {
        let text = std::fs::read_to_string(path).unwrap();
        let path = path.strip_prefix(root()).unwrap();
        let tested = tests_of(path, &text);
        for id in named_in(tested) {
            let file = path.display().to_string();
            named.entry(id).or_insert(file);
        }
    }
    named
}

fn list() -> (Reasons, Reasons) {
    let path = root().join("tests/spec/ids.txt");
    read_list(&std::fs::read_to_string(path).unwrap())
}

#[test]
fn each_line_has_a_test_or_a_reason() {
    let ((lines, sections), named) = (list(), named_by_tests());
    let mut faults = Vec::new();
    let (mut used, mut tested) = (BTreeSet::new(), 0);
    for (id, reason) in &lines {
        match (named.get(id), reason, sections.get(section(id))) {
            (Some(file), Some(_), _) => {
                faults.push(format!("{id} has a reason, and a test: {file} names it"));
            }
            (Some(_), None, _) => tested += 1,
            (None, Some(_), _) => {}
            (None, None, Some(Some(_))) => drop(used.insert(section(id))),
            (None, None, _) => faults.push(format!(
                "{id} is named by no test: write one, or its reason into tests/spec/ids.txt"
            )),
        }
    }
    for (id, file) in named.iter().filter(|(id, _)| !lines.contains_key(*id)) {
        faults.push(format!(
            "{file} names {id}, which is no line: a typing error?"
        ));
    }
    for section in sections.keys().filter(|it| !used.contains(&***it)) {
        faults.push(format!(
            "the reason of section {section} stands for no line"
        ));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    println!("{tested} of {} lines have a test", lines.len());
}

/// PAR-06: the tests that were to be written first, but for what needs a queue or a bus outside of the process.
#[test]
fn the_lines_that_come_first_have_tests() {
    let first: [(&str, &[u32]); 8] = [
        ("INV", &[13, 14, 22, 23]),
        ("ERR", &[1, 5]),
        ("NAM", &[11, 13]),
        ("CFG", &[11, 12, 13, 14, 15, 16, 17, 24, 25, 26, 27]),
        ("ASY", &[13, 14, 15, 16, 17, 18, 20, 26, 27, 28]),
        ("DST", &[3, 4, 5, 6, 7, 8, 9, 10, 13]),
        ("MET", &[19, 20, 21]),
        ("REC", &[1, 4]),
    ];
    let named = named_by_tests();
    let ids = first.iter().flat_map(|(section, numbers)| {
        let id = move |number: &u32| format!("{section}-{number:02}");
        numbers.iter().map(id)
    });
    let missing: Vec<_> = ids.filter(|id| !named.contains_key(id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn ids_are_found_alone_and_in_ranges() {
    let id = |number: u32| format!("XYZ-{number:02}");
    let of = |numbers: &[u32]| numbers.iter().copied().map(id).collect::<BTreeSet<_>>();
    let text = format!("/// {}, {}: what", id(1), id(3));
    assert_eq!(named_in(&text), of(&[1, 3]));
    assert_eq!(
        named_in(&format!("ö{} to {}.", id(4), id(6))),
        of(&[4, 5, 6])
    );
    assert_eq!(named_in(&format!("{}..10", id(8))), of(&[8, 9, 10]));
    for none in [
        "Xyz-01", "XYZ-1", "XYZ-001", "A-XYZ-01", "_XYZ-01", "XYZZY-01", "XY-01", "X-Y-Z", "é-01",
    ] {
        assert_eq!(named_in(none), BTreeSet::new(), "{none}");
    }
}

#[test]
fn a_list_has_ids_sections_and_reasons() {
    let [one, two] = ["01", "02"].map(|number| format!("XYZ-{number}"));
    let text = format!("# what it is\n\nXYZ  nothing of it\n{one}\n{two}  no cat\n");
    let (lines, sections) = read_list(&text);
    assert_eq!(sections["XYZ"].as_deref(), Some("nothing of it"));
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[&one], lines[&two].as_deref()),
        (&None, Some("no cat"))
    );
}
