//! The reserve: a file that holds room back. A disk full of events must take their settlements before any of them can go.
//!
//! ```text
//!  whole ── the disk is full ──▶ given up: settlements take its room, unneeded segments go ──▶ whole again: events are taken
//!                                  └─ the last part of it is for the next opening, which has to begin a segment,
//!                                     and for moving needed records out of segments that could go
//! ```

use std::io;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use super::files::{File, Files};

pub(super) const NAME: &str = "reserve";
/// The bytes that stay for the next opening.
const OPENING: u64 = 16 << 10;
/// The bytes of one write.
const PIECE: usize = 128 << 10;

pub(super) struct Reserve {
    file: Option<Arc<dyn File>>,
    /// Its length when it is whole.
    wanted: u64,
    kept: u64,
}

impl Reserve {
    /// Opens the reserve that the previous process left, for segments of this size.
    pub(super) fn find(files: &dyn Files, segment_max: u32) -> io::Result<Self> {
        let known = files.list()?.iter().any(|name| name == NAME);
        let file = known.then(|| files.open(NAME, false)).transpose()?;
        let kept = file.as_ref().map_or(Ok(0), |file| file.len())?;
        let wanted = u64::from(bytes(segment_max));
        Ok(Self { file, wanted, kept })
    }

    /// Returns its length when it is whole.
    pub(super) fn wanted(&self) -> u64 {
        self.wanted
    }

    /// Fills the reserve if the disk has its room and a quarter more; otherwise leaves it as it is.
    pub(super) fn fill(&mut self, files: &dyn Files) -> io::Result<()> {
        let wanted = self.wanted.min(files.file_max());
        if self.kept >= wanted {
            return Ok(());
        }
        let file = match &self.file {
            Some(file) => file.clone(),
            None => self.file.insert(files.open(NAME, true)?).clone(),
        };
        let end = (wanted + wanted / 4).min(files.file_max());
        // Random bytes: a file system that compresses holds no room back for zeros.
        let mut piece = vec![0; PIECE.min((end - self.kept) as usize)];
        SmallRng::seed_from_u64(wanted).fill_bytes(&mut piece);
        let mut pieces = (self.kept..end).step_by(PIECE);
        let filled = pieces.try_for_each(|at| {
            let length = PIECE.min((end - at) as usize);
            file.write_at(at, &piece[..length])
        });
        if filled.is_ok() {
            self.kept = wanted;
        }
        file.set_len(self.kept)?;
        filled
    }

    /// Gives up the reserve for settlements, except the part for the next opening. Returns whether that freed room.
    pub(super) fn give_up(&mut self) -> bool {
        self.shrink(opening(self.wanted))
    }

    /// Gives up the whole reserve. Returns whether that freed room.
    pub(super) fn give_up_all(&mut self) -> bool {
        self.shrink(0)
    }

    fn shrink(&mut self, left: u64) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| self.kept > left) else {
            return false;
        };
        let shrunk = file.set_len(left).is_ok();
        if shrunk {
            self.kept = left;
        }
        shrunk
    }
}

/// Returns the part that stays for the next opening.
fn opening(wanted: u64) -> u64 {
    OPENING.min(wanted / 4)
}

/// Returns the length of the reserve: the settlements of all events of a segment fit.
pub(super) fn bytes(segment_max: u32) -> u32 {
    (segment_max / 2).clamp(segment_max.min(64 << 10), 2 << 20)
}

/// Returns the number of events after which a segment is closed, so that their settlements fit into the reserve.
pub(super) fn events_max(segment_max: u32) -> u64 {
    /// The length of a settlement, rounded up.
    const END: u64 = 128;
    let wanted = u64::from(bytes(segment_max));
    ((wanted - opening(wanted)) / END).max(1)
}
