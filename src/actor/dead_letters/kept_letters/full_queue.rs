//! The decision about a letter that arrives, above all when the queue is full.
//!
//! | a letter arrives | what follows |
//! |---|---|
//! | there is room | it is kept |
//! | the queue is empty | it is kept, however large |
//! | no room, `Hold` | it is held until there is room, behind those that are held already |
//! | no room, `DropOldest` | the oldest letters are dropped, except those that are being sent; it is kept |
//! | no room, `DropNewest` | it is dropped |

use std::ops::ControlFlow;

use super::{KeptLetters, PendingLetter};
use crate::actor::dead_letters::filter::Filter;
use crate::actor::dead_letters::letter_index::PlaceRange;
use crate::actor::dead_letters::settings::WhenFull;
use crate::event::dead_letter::DeadLetter;

/// The decision about a letter that arrives.
#[derive(Debug)]
pub(in crate::actor::dead_letters) enum Room {
    /// It can be kept, now that these were dropped.
    Free(Vec<DeadLetter>),
    /// It is to be held.
    Hold,
    /// It is to be dropped.
    DropNewest,
}

impl<P: PendingLetter> KeptLetters<P> {
    /// Returns whether a letter that arrives can be kept, after dropping older ones if the bounds say so.
    pub(in crate::actor::dead_letters) fn make_room(&mut self, letter: &DeadLetter) -> Room {
        // Held letters come first, so that places follow the order of arrival.
        if self.held.is_empty() && self.has_room(letter) {
            return Room::Free(Vec::new());
        }
        match self.bounds.when_full {
            WhenFull::Hold => Room::Hold,
            WhenFull::DropNewest => Room::DropNewest,
            // While all others are being sent, there may be one too many.
            WhenFull::DropOldest => {
                let mut dropped = Vec::new();
                while !self.has_room(letter)
                    && let Some(oldest) = self.drop_oldest()
                {
                    dropped.push(oldest);
                }
                Room::Free(dropped)
            }
        }
    }

    pub(super) fn drop_oldest(&mut self) -> Option<DeadLetter> {
        let mut oldest = None;
        self.index
            .scan(&Filter::new(), PlaceRange::ALL, |place, _| {
                if self.sending.contains(&place) {
                    return ControlFlow::Continue(());
                }
                oldest = Some(place);
                ControlFlow::Break(())
            });
        self.index.remove(oldest?)
    }
}
