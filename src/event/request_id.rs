//! The request id of an event.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An event's UUID, the same on every attempt (ASY-04).
///
/// Those that the runtime gives are of version 8: 74 of their bits are random, so nobody guesses another's,
/// and the rest says where the event lies, so that looking one up needs no index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(Uuid);

/// Functions that a request id can number.
pub(crate) const FUNCTIONS_MAX: u32 = 1 << 20;
const SLOT_BITS: u32 = 28;

impl RequestId {
    /// The id of the event in `slot` of function number `function`.
    pub(crate) fn new(function: u32, slot: u32, random: u128) -> Self {
        let place = (u128::from(function) << SLOT_BITS) | u128::from(slot);
        let bits = (place << 80) | (random & ((1 << 80) - 1));
        Self(uuid::Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid())
    }

    /// Where the event lies, if the runtime gave this id: function number and slot.
    pub(crate) fn place(self) -> (u32, u32) {
        let place = (self.0.as_u128() >> 80) as u64;
        (
            (place >> SLOT_BITS) as u32,
            (place & ((1 << SLOT_BITS) - 1)) as u32,
        )
    }

    /// This id, but saying that its event is number `place` in a store.
    #[cfg_attr(
        not(any(feature = "disk", feature = "testing")),
        allow(dead_code, reason = "the stores'")
    )]
    pub(crate) fn store_at(self, place: u64) -> Self {
        let random = self.0.as_u128() & ((1 << 80) - 1);
        let bits = (u128::from(place) << 80) | random;
        Self(uuid::Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid())
    }

    /// The number of its event in a store, if a store gave this id.
    #[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
    pub(crate) fn stored_at(self) -> Option<u64> {
        let ours = self.0.get_version_num() == 8;
        ours.then_some((self.0.as_u128() >> 80) as u64)
    }

    /// The UUID itself.
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl From<Uuid> for RequestId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for RequestId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_says_where_its_event_lies() {
        for (function, slot) in [(0, 0), (1, 2), (FUNCTIONS_MAX - 1, (1 << SLOT_BITS) - 1)] {
            let id = RequestId::new(function, slot, u128::MAX / 3);
            assert_eq!(id.place(), (function, slot));
            assert_eq!(id.as_uuid().get_version_num(), 8);
            assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
        }
    }
}
