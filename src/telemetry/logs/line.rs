//! Foreign text as lines of a log: no text can look like a line of the runtime, and no failure fills the log.

use std::fmt::{self, Display, Write};

use crate::base::excerpt::excerpt;
use crate::event::failure::{Failure, FailureKind};

/// A text that stays within its line: control characters, except the tab, and line separators are written as escapes.
pub(super) struct OneLine<T>(pub(super) T);

impl<T: Display> Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, mut piece: &str) -> fmt::Result {
        let breaks = |c: char| c.is_control() && c != '\t' || matches!(c, '\u{2028}' | '\u{2029}');
        while let Some((at, c)) = piece.char_indices().find(|&(_, c)| breaks(c)) {
            self.0.write_str(&piece[..at])?;
            write!(self.0, "{}", c.escape_default())?;
            piece = &piece[at + c.len_utf8()..];
        }
        self.0.write_str(piece)
    }
}

/// Most bytes of a line about a failure.
const LINE_MAX: usize = 1 << 10;
/// Most bytes of all such lines of an attempt: with END and REPORT they fit into the log tail of a response (INV-18).
const FAILURE_MAX: usize = 3 << 10;

/// Writes how an attempt failed, as AWS's runtimes do: one line each for the error with its type, the place of a panic, and
/// every cause. Nothing for a timeout, which has another line (LOG-09).
pub(super) fn write_failure(log: &mut String, failure: &Failure) {
    if failure.kind == FailureKind::Timeout {
        return;
    }
    let full = log.len() + FAILURE_MAX;
    let Failure {
        error_type,
        message,
        causes,
        place,
        ..
    } = failure;
    add_line(log, full, format_args!("[ERROR] {error_type}: {message}"));
    if let Some(place) = place {
        add_line(log, full, format_args!("    at {place}"));
    }
    for cause in causes {
        add_line(log, full, format_args!("Caused by: {cause}"));
    }
}

/// Adds a line, cut so that the log has at most `full` bytes.
fn add_line(log: &mut String, full: usize, line: impl Display) {
    let room = full.saturating_sub(log.len() + 1);
    if room >= LINE_MIN {
        log.push_str(&excerpt(OneLine(line), room.min(LINE_MAX)));
        log.push('\n');
    }
}

/// Less than this of a line is left out.
const LINE_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(failure: &Failure) -> String {
        let mut log = String::from("START\n");
        write_failure(&mut log, failure);
        log.split_off("START\n".len())
    }

    #[test]
    fn a_text_stays_within_its_line() {
        for (text, line) in [
            ("plain ö", "plain ö"),
            ("a\nSTART b", "a\\nSTART b"),
            ("a\r\nb", "a\\r\\nb"),
            ("tab\tstays", "tab\tstays"),
            (
                "\u{1b}[2K\u{85}\u{2028}\0",
                "\\u{1b}[2K\\u{85}\\u{2028}\\u{0}",
            ),
        ] {
            assert_eq!(OneLine(text).to_string(), line);
        }
    }

    #[test]
    fn a_failure_is_logged_with_its_type_place_and_causes() {
        let mut failure =
            Failure::new(FailureKind::Error, "shop::Declined", "no\nEND RequestId: x");
        failure.causes = vec!["limit".to_owned(), "a\rb".to_owned()];
        failure.place = Some("src/shop.rs:7:5".to_owned());
        let expected = "[ERROR] shop::Declined: no\\nEND RequestId: x\n    at src/shop.rs:7:5\nCaused by: limit\nCaused by: a\\rb\n";
        assert_eq!(written(&failure), expected);
        let timeout = Failure::timeout(std::time::Duration::from_secs(1));
        assert_eq!(written(&timeout), "");
    }

    #[test]
    fn a_long_failure_is_cut_line_by_line() {
        let mut failure = Failure::new(FailureKind::Error, "E", "\n".repeat(9_000));
        failure.causes = vec!["c".repeat(9_000); 32];
        let log = written(&failure);
        assert!(
            log.len() <= FAILURE_MAX && log.lines().count() == 3,
            "{log}"
        );
        assert!(log.lines().all(|line| line.ends_with("… (cut)")), "{log}");
        failure.message = "m".to_owned();
        failure.causes = vec!["short".to_owned(); 32];
        assert_eq!(written(&failure).lines().count(), 33);
    }
}
