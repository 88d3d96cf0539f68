//! The receipt of an accepted event, and how safe the event is.

use std::time::Duration;

use serde::Serialize;

use crate::base::time::Time;
use crate::event::request_id::RequestId;

/// How safe an accepted event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub enum Durability {
    /// It is lost with the process.
    Memory,
    /// It survives the death of the process (`kill -9`). A loss of power loses the events of at most this last interval.
    DiskInterval(Duration),
    /// It survives the death of the process and a loss of power: it was synced to disk before the receipt.
    Disk,
}

/// The proof that an event was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Receipt {
    /// The event's id, for `status`, `wait` and `cancel`, and in logs and dead letters.
    pub request_id: RequestId,
    /// How safe it is.
    pub durability: Durability,
    /// An event with the same deduplication key was accepted before: this is its id, and nothing was added.
    pub duplicate: bool,
    /// When the event was accepted; a duplicate, when it came.
    #[serde(skip)]
    pub(crate) accepted: Time,
}

impl Receipt {
    pub(crate) fn new(request_id: RequestId, durability: Durability, accepted: Time) -> Self {
        Self {
            request_id,
            durability,
            duplicate: false,
            accepted,
        }
    }

    pub(crate) fn duplicate(self) -> Self {
        Self {
            duplicate: true,
            ..self
        }
    }
}
