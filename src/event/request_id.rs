//! The request id of an event.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An event's UUID, the same on every attempt (ASY-04).
///
/// The runtime creates UUIDs of version 8: 74 of their bits are random, so that they can't be guessed, and the others locate
/// the event, so that a look-up needs no index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(Uuid);

/// Number of functions that a request id can distinguish.
pub(crate) const FUNCTIONS_MAX: u32 = 1 << 20;
const SLOT_BITS: u32 = 28;

impl RequestId {
    /// Returns the id of the event in `slot` of function number `function`.
    pub(crate) fn new(function: u32, slot: u32, random: u128) -> Self {
        let place = (u128::from(function) << SLOT_BITS) | u128::from(slot);
        let bits = (place << 80) | (random & ((1 << 80) - 1));
        Self(uuid::Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid())
    }

    /// Returns the function number and slot of the event, if the runtime created this id.
    pub(crate) fn place(self) -> (u32, u32) {
        let place = (self.0.as_u128() >> 80) as u64;
        (
            (place >> SLOT_BITS) as u32,
            (place & ((1 << SLOT_BITS) - 1)) as u32,
        )
    }

    /// Returns this id with the number `place` of its event in a store.
    #[cfg_attr(
        not(any(feature = "disk", feature = "testing")),
        allow(dead_code, reason = "the stores'")
    )]
    pub(crate) fn store_at(self, place: u64) -> Self {
        let random = self.0.as_u128() & ((1 << 80) - 1);
        let bits = (u128::from(place) << 80) | random;
        Self(uuid::Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid())
    }

    /// Returns the number of its event in a store, if a store created this id.
    #[cfg_attr(
        not(feature = "disk"),
        allow(dead_code, reason = "only the disk store uses it")
    )]
    pub(crate) fn stored_at(self) -> Option<u64> {
        let ours = self.0.get_version_num() == 8;
        ours.then_some((self.0.as_u128() >> 80) as u64)
    }

    /// Returns the UUID.
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
    fn a_request_id_locates_its_event() {
        for (function, slot) in [(0, 0), (1, 2), (FUNCTIONS_MAX - 1, (1 << SLOT_BITS) - 1)] {
            let id = RequestId::new(function, slot, u128::MAX / 3);
            assert_eq!(id.place(), (function, slot));
            assert_eq!(id.as_uuid().get_version_num(), 8);
            assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
        }
    }
}
