//! Excerpts of text from user code, bounded in bytes.
//!
//! An error's `Display` may write without end. Here it writes into a bounded buffer, which refuses text beyond its bound.
//! The refusal ends every `Display` that passes on the error of its formatter.

use std::fmt::{self, Display, Write};

/// The mark of text that is left out.
pub(crate) const CUT: &str = "… (cut)";

/// Returns at most `max` bytes of `text`. A longer text is cut between two characters and marked with [`CUT`]. If a
/// `Display` fails, the text that it wrote before is kept.
pub(crate) fn excerpt(text: impl Display, max: usize) -> String {
    let mut buffer = Buffer {
        text: String::new(),
        max,
        is_full: false,
    };
    let _ = write!(buffer, "{text}"); // the buffer is full, or the `Display` failed
    let Buffer {
        mut text, is_full, ..
    } = buffer;
    if is_full {
        text.truncate(boundary(&text, max.saturating_sub(CUT.len())));
        text.push_str(CUT);
    }
    text
}

struct Buffer {
    text: String,
    max: usize,
    is_full: bool,
}

impl Write for Buffer {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.is_full {
            return Err(fmt::Error);
        }
        let room = self.max - self.text.len();
        let fits = boundary(piece, room);
        self.text.push_str(&piece[..fits]);
        self.is_full = fits < piece.len();
        if self.is_full {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

/// Returns the last boundary between two characters of `text` at or before `max`.
fn boundary(text: &str, max: usize) -> usize {
    let mut at = max.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_is_kept_whole() {
        assert_eq!(excerpt("", 0), "");
        assert_eq!(excerpt("twelve bytes", 12), "twelve bytes");
        assert_eq!(excerpt(format_args!("{}-{}", 1, 2), 3), "1-2");
    }

    #[test]
    fn a_longer_text_is_cut_between_two_characters_and_marked() {
        for max in CUT.len()..64 {
            for text in ["ö".repeat(100), "a".repeat(100), "🦀".repeat(100)] {
                let cut = excerpt(&text, max);
                assert!(cut.len() <= max, "{} of {max}", cut.len());
                assert!(cut.len() + 6 > max, "{} of {max}", cut.len());
                assert!(cut.ends_with(CUT) && text.starts_with(cut.trim_end_matches(CUT)));
            }
        }
    }

    #[test]
    fn a_display_that_never_ends_is_stopped() {
        struct Endless;
        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("again and ")?;
                }
            }
        }
        assert_eq!(excerpt(Endless, 1_000).len(), 1_000);
    }

    #[test]
    fn text_written_after_the_refusal_is_dropped() {
        struct Deaf;
        impl Display for Deaf {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for _ in 0..1_000 {
                    let _ = f.write_str("0123456789ö");
                }
                Ok(())
            }
        }
        let kept = excerpt(Deaf, 100);
        assert!(kept.len() <= 100 && kept.ends_with(CUT), "{kept}");
    }

    #[test]
    fn the_text_before_a_displays_failure_is_kept() {
        struct Fails;
        impl Display for Fails {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("half")?;
                Err(fmt::Error)
            }
        }
        assert_eq!(excerpt(Fails, 100), "half");
    }
}
