//! The bounds of the dead-letter queue, and what it does when they are reached.

use std::time::Duration;

/// How much the dead-letter queue keeps, and what it does when that is too much.
#[derive(Clone, Debug)]
pub struct DeadLetterBounds {
    pub(crate) letters_max: usize,
    pub(crate) bytes_max: u64,
    pub(crate) when_full: WhenFull,
    pub(crate) age_max: Option<Duration>,
}

impl DeadLetterBounds {
    /// At most so many letters with so many bytes of payloads and error texts, and what happens beyond.
    pub fn new(letters_max: usize, bytes_max: u64, when_full: WhenFull) -> Self {
        Self {
            letters_max,
            bytes_max,
            when_full,
            age_max: None,
        }
    }

    /// Drops letters this long after their events died, which is logged and counted in `DeadLetterErrors`; never unless set.
    pub fn age_max(mut self, age: Duration) -> Self {
        self.age_max = Some(age);
        self
    }
}

/// 100,000 letters, 256 MiB; full means [`WhenFull::Hold`].
impl Default for DeadLetterBounds {
    fn default() -> Self {
        Self::new(100_000, 256 << 20, WhenFull::Hold)
    }
}

/// What a full dead-letter queue does with another dead letter. Each of these is logged as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The event stays pending in its function's mailbox until there is room. Nothing is lost; a function whose events
    /// keep dying fills its mailbox and refuses new ones.
    Hold,
    /// The oldest letter is dropped and counted in `DeadLetterErrors`.
    DropOldest,
    /// The new letter is dropped and counted in `DeadLetterErrors`; subscribers still see it.
    DropNewest,
}
