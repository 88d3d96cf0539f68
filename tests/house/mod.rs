//! Reads the crate's sources for the tests of its structure.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A source file of `src`.
pub struct Source {
    /// Relative to `src`, with `/`.
    pub path: String,
    pub text: String,
    /// The text with comments and the contents of literals replaced by spaces. Lines stay where they are.
    pub code: String,
    /// The same, without inline test modules.
    pub tested: String,
}

/// Returns all files of `src`, sorted by path.
pub fn sources() -> Vec<Source> {
    let root = root().join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&root).unwrap();
                let relative = relative.to_str().unwrap().replace('\\', "/");
                sources.push(Source::new(
                    relative,
                    std::fs::read_to_string(&path).unwrap(),
                ));
            }
        }
    }
    assert!(sources.len() > 100, "found only {} files", sources.len());
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

impl Source {
    pub fn new(path: String, text: String) -> Self {
        let code = without_comments_and_literals(&text);
        let tested = without_inline_tests(&code);
        Self {
            path,
            text,
            code,
            tested,
        }
    }

    /// The folder of `src` that the file is in, or its name without `.rs`.
    pub fn folder(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.trim_end_matches(".rs")
    }

    /// Whether the whole file belongs to the tests.
    pub fn is_test(&self) -> bool {
        self.path
            .split('/')
            .any(|part| part == "tests" || part == "tests.rs")
    }

    /// The path of the file's module: `["mailbox", "take"]`.
    pub fn module(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').map(str::to_owned).collect()
    }

    /// The absolute paths that the file names, `["mailbox", "take", "Taken"]` for `crate::mailbox::take::Taken`, with those
    /// that begin with `super`, `self` or a module that the file declares. Members of groups are listed one by one.
    pub fn imports(&self) -> Vec<Vec<String>> {
        let children: Vec<_> = declared_modules(&self.tested);
        let mut all = Vec::new();
        for (at, word) in words(&self.tested) {
            let after = &self.tested[at + word.len()..];
            let before = self.tested[..at].trim_end();
            if !after.starts_with("::") || before.ends_with("::") || before.ends_with('.') {
                continue;
            }
            let base = match word {
                "crate" => Vec::new(),
                "super" => {
                    let mut parent = self.module();
                    parent.pop();
                    parent
                }
                "self" => self.module(),
                child if children.iter().any(|name| name == child) => {
                    let mut module = self.module();
                    module.push(child.to_owned());
                    module
                }
                _ => continue,
            };
            expand(&base, &after[2..], &mut all);
        }
        all
    }
}

/// Appends the paths that `text` begins with, below `base`: one for `a::b`, several for `a::{b, c}`.
fn expand(base: &[String], text: &str, all: &mut Vec<Vec<String>>) -> usize {
    let mut path = base.to_vec();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        if rest.starts_with('{') {
            at += 1;
            loop {
                at += text[at..].len() - text[at..].trim_start_matches([' ', '\n', ',']).len();
                if at >= text.len() || text[at..].starts_with('}') {
                    return at + 1;
                }
                let step = expand(&path, &text[at..], all);
                at += step.max(1);
                // An alias, or whatever else stands before the next member.
                at += text[at..].find([',', '}']).unwrap_or(0);
            }
        }
        let name: String = rest
            .chars()
            .take_while(|&c| c.is_alphanumeric() || c == '_')
            .collect();
        at += name.len();
        match name.as_str() {
            "" | "self" => break,
            "super" => drop(path.pop()),
            _ => path.push(name),
        }
        if text[at..].starts_with("::") && !text[at..].starts_with("::<") {
            at += 2;
        } else {
            break;
        }
    }
    all.push(path);
    at
}

fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(is_word).filter_map(move |(at, _)| {
        let starts = !text[..at].chars().next_back().is_some_and(is_word);
        let length = text[at..].find(|c| !is_word(c)).unwrap_or(text.len() - at);
        starts.then(|| (at, &text[at..at + length]))
    })
}

fn declared_modules(code: &str) -> Vec<String> {
    let declarations = code.lines().filter_map(|line| {
        let (head, name) = line.strip_suffix(';')?.rsplit_once("mod ")?;
        (head.is_empty() || head.starts_with("pub")).then(|| name.to_owned())
    });
    declarations.collect()
}

/// Replaces comments and what literals hold by spaces.
pub fn without_comments_and_literals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let identifier_before = out
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '_');
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => literal(rest, '"'),
            'r' | 'b' | 'c' if !identifier_before => raw_string(rest),
            '\'' => character(rest),
            _ => 0,
        };
        if skipped == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(
                rest[..skipped]
                    .chars()
                    .map(|c| if c == '\n' { c } else { ' ' }),
            );
            rest = &rest[skipped..];
        }
    }
    out
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    loop {
        let rest = &text[at..];
        match rest {
            "" => return at,
            _ if rest.starts_with("/*") => (depth, at) = (depth + 1, at + 2),
            _ if rest.starts_with("*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += rest.chars().next().map_or(1, char::len_utf8),
        }
        if depth == 0 {
            return at;
        }
    }
}

fn literal(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#`, `br"…"` and the like; zero if there is none.
fn raw_string(text: &str) -> usize {
    let Some(tail) = text.trim_start_matches(['b', 'c']).strip_prefix('r') else {
        return 0;
    };
    let hashes = tail.len() - tail.trim_start_matches('#').len();
    let Some(content) = tail[hashes..].strip_prefix('"') else {
        return 0;
    };
    let end = format!("\"{}", "#".repeat(hashes));
    let length = content
        .find(&end)
        .map_or(content.len(), |at| at + end.len());
    text.len() - content.len() + length
}

/// The length of a character literal; zero for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => literal(text, '\''),
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

/// Removes each `#[cfg(test)] mod name { … }`, and nothing behind it.
fn without_inline_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(at) = out
        .match_indices("#[cfg(test)]")
        .map(|(at, _)| at)
        .find(|&at| {
            let item = out[at..].trim_start_matches("#[cfg(test)]").trim_start();
            item.starts_with("mod ")
                && item
                    .split(['{', ';'])
                    .next()
                    .is_some_and(|name| item[name.len()..].starts_with('{'))
        })
    {
        let open = at + out[at..].find('{').unwrap();
        let end = open + block(&out[open..]);
        let blank: String = out[at..end]
            .chars()
            .map(|c| if c == '\n' { c } else { ' ' })
            .collect();
        out.replace_range(at..end, &blank);
    }
    out
}

/// The length of the `{ … }` that `code` begins with.
pub fn block(code: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// A function, with its first line (from 1) and how many lines it has.
pub struct Length {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

/// Returns the length of every function with a body, tests included.
pub fn functions(code: &str) -> Vec<Length> {
    let mut all = Vec::new();
    for (at, word) in words(code) {
        if word != "fn" {
            continue;
        }
        let rest = &code[at + 2..];
        let name: String = rest
            .trim_start()
            .chars()
            .take_while(|&c| c.is_alphanumeric() || c == '_')
            .collect();
        let (Some(open), semicolon) = (rest.find('{'), end_of_declaration(rest)) else {
            continue;
        };
        if name.is_empty() || semicolon < open {
            continue;
        }
        let body = &rest[..open + block(&rest[open..])];
        all.push(Length {
            name,
            line: 1 + code[..at].matches('\n').count(),
            lines: 1 + body.matches('\n').count(),
        });
    }
    all
}

/// Where a declaration without a body ends: the first `;` outside of brackets, `[u8; 4]` say.
fn end_of_declaration(code: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in code.char_indices() {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth -= 1,
            ';' if depth <= 0 => return at,
            _ => {}
        }
    }
    code.len()
}

/// The names of the types that `code` defines.
pub fn types(code: &str) -> Vec<&str> {
    let mut all = Vec::new();
    for line in code.lines() {
        let is_inner = line.starts_with(' ');
        let mut tokens = line
            .split_whitespace()
            .skip_while(|token| token.starts_with("pub"));
        // The associated types of traits stand further in.
        match tokens.next() {
            Some("type") if is_inner => continue,
            Some("struct" | "enum" | "union" | "trait" | "type") => {}
            _ => continue,
        }
        if let Some(name) = tokens.next() {
            all.push(
                name.split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()
                    .unwrap(),
            );
        }
    }
    all
}

/// The file of the longest module path that `path` begins with.
pub fn file_of<'a>(files: &BTreeMap<Vec<String>, &'a str>, path: &[String]) -> Option<&'a str> {
    (1..=path.len())
        .rev()
        .find_map(|length| files.get(&path[..length]).copied())
}

/// Fails with the list, if there is any.
pub fn assert_none(violations: Vec<String>) {
    assert!(
        violations.is_empty(),
        "{} violations:\n{}",
        violations.len(),
        violations.join("\n")
    );
}
