//! The comments and docs of `src/` are plain English: turns of phrase that slow a newcomer down are counted.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod house;

use house::{root, sources};

/// How often a phrase may stand in 1,000 words, with the rule behind it.
const AT_MOST: [(&[&str], f64, &str); 4] = [
    (
        &[
            "what is",
            "what was",
            "what has",
            "what are",
            "what becomes",
            "what comes",
            "what waits",
            "what runs",
            "what holds",
        ],
        0.5,
        "name the thing instead of \"what is ...\"",
    ),
    (
        &["whoever", "whatever", "wherever", "whichever"],
        0.3,
        "name the caller, the worker, the event",
    ),
    (
        &["told", "tells", "tell"],
        0.5,
        "functions return, send, report or store",
    ),
    (
        &["nobody", "somebody", "anybody"],
        0.3,
        "name who does it, or who doesn't",
    ),
];

/// Functions say what they return: at least so many times in 1,000 words.
const RETURNS_MIN: f64 = 3.0;

#[test]
fn comments_and_docs_are_plain_english() {
    let sources = sources();
    let mut texts: Vec<_> = sources
        .iter()
        .map(|source| (format!("src/{}", source.path), comments(&source.text)))
        .collect();
    for page in [
        "src/architecture.md",
        "src/http/serving.md",
        "src/store/disk/folder.md",
        "README.md",
    ] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        texts.push((page.to_owned(), plain(&text)));
    }
    let words: usize = texts
        .iter()
        .map(|(_, text)| text.split_whitespace().count())
        .sum();
    assert!(words > 30_000, "read only {words} words");
    let per_1000 = |count: usize| count as f64 * 1000.0 / words as f64;

    for (phrases, max, rule) in AT_MOST {
        let places: Vec<_> = texts
            .iter()
            .filter(|(_, text)| count(text, phrases) > 0)
            .map(|(path, _)| path.as_str())
            .collect();
        let found: usize = texts.iter().map(|(_, text)| count(text, phrases)).sum();
        assert!(
            per_1000(found) <= max,
            "{} of {phrases:?} in 1,000 words, at most {max}: {rule}. In {}",
            per_1000(found),
            places.join(", ")
        );
    }
    let returns: usize = texts
        .iter()
        .map(|(_, text)| count(text, &["return", "returns"]))
        .sum();
    assert!(
        per_1000(returns) >= RETURNS_MIN,
        "{} of \"returns\" in 1,000 words, at least {RETURNS_MIN}: say what functions return",
        per_1000(returns)
    );
}

/// The text of all comments, in lower case, without code blocks.
fn comments(source: &str) -> String {
    let lines = source.lines().filter_map(|line| {
        let text = line.trim_start().strip_prefix("//")?;
        Some(text.trim_start_matches(['/', '!']))
    });
    plain(&lines.collect::<Vec<_>>().join("\n"))
}

fn plain(text: &str) -> String {
    let blocks = text.split("```").step_by(2);
    let text = blocks.collect::<Vec<_>>().join(" ").to_lowercase();
    let words: Vec<_> = text.split_whitespace().collect();
    format!(" {} ", words.join(" "))
}

/// How often one of the phrases stands in the text, as whole words.
fn count(text: &str, phrases: &[&str]) -> usize {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    phrases
        .iter()
        .flat_map(|phrase| text.match_indices(phrase))
        .filter(|(at, phrase)| {
            let before = text[..*at].chars().next_back();
            let after = text[at + phrase.len()..].chars().next();
            !before.is_some_and(is_letter) && !after.is_some_and(is_letter)
        })
        .count()
}

#[test]
fn phrases_are_counted_in_comments_as_whole_words() {
    let source = "/// What\n/// is told.\n/// ```\n/// told();\n/// ```\nfn told() {} // told off\n// untold";
    let text = comments(source);
    assert_eq!(count(&text, &["what is"]), 1);
    assert_eq!(count(&text, &["told"]), 1);
}
