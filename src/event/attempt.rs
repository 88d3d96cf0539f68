//! One failed attempt, and the bounded history of an event's attempts.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::base::time::rfc3339;
use crate::event::failure::Failure;

/// One failed attempt.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When it began.
    #[serde(serialize_with = "rfc3339")]
    pub started_at: SystemTime,
    /// How long it took until it failed.
    pub duration: Duration,
    /// How it failed.
    pub failure: Failure,
}

/// Maximum number of attempts in an event's history. Beyond it, the oldest but the first is dropped. Throttled events can
/// have hundreds.
const ATTEMPTS_MAX: usize = 100;
/// Maximum bytes of texts in an event's history. The first and the last attempt always fit.
const HISTORY_MAX: usize = 128 << 10;

/// Adds an attempt to an event's history, within its bounds.
pub(crate) fn remember(attempts: &mut Vec<Attempt>, attempt: Attempt) {
    attempts.push(attempt);
    let mut texts: usize = attempts.iter().map(|it| it.failure.text_len()).sum();
    while attempts.len() > ATTEMPTS_MAX || texts > HISTORY_MAX && attempts.len() > 2 {
        texts -= attempts.remove(1).failure.text_len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::failure::FailureKind;

    #[test]
    fn a_history_with_long_texts_keeps_its_first_and_its_last_attempts() {
        let mut attempts = Vec::new();
        for number in 1..=50 {
            let message = "x".repeat(if number == 1 { 1 << 20 } else { 30_000 });
            remember(
                &mut attempts,
                Attempt {
                    number,
                    started_at: SystemTime::UNIX_EPOCH,
                    duration: Duration::ZERO,
                    failure: Failure::new(FailureKind::Error, "E", message),
                },
            );
        }
        let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
        assert_eq!(numbers, [1, 49, 50]);
    }

    #[test]
    fn a_long_history_keeps_its_first_and_its_last_attempts() {
        let mut attempts = Vec::new();
        for number in 1..=250 {
            let failure = Failure::worker_lost();
            remember(
                &mut attempts,
                Attempt {
                    number,
                    started_at: SystemTime::UNIX_EPOCH,
                    duration: Duration::ZERO,
                    failure,
                },
            );
        }
        assert_eq!(attempts.len(), ATTEMPTS_MAX);
        assert_eq!(
            (attempts[0].number, attempts[1].number, attempts[99].number),
            (1, 152, 250)
        );
    }
}
