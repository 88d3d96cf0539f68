//! The JSON of payloads, made in the caller's thread so that the writer need not.

use smallvec::SmallVec;

use crate::error::StoreError;
use crate::store::StoredEvent;

/// The JSON of the payloads of an append, for those that aren't JSON themselves.
pub(super) struct Payloads {
    bytes: Vec<u8>,
    /// Where the JSON of each event ends.
    ends: SmallVec<[usize; 1]>,
}

impl Payloads {
    pub(super) fn of(events: &[StoredEvent]) -> Result<Self, StoreError> {
        let mut bytes = Vec::new();
        let ends = events.iter().map(|event| {
            event.payload.write_json(&mut bytes).map_err(|error| {
                StoreError::new(format!("the payload can't be written: {error}"))
            })?;
            Ok(bytes.len())
        });
        let ends = ends.collect::<Result<_, StoreError>>()?;
        Ok(Self { bytes, ends })
    }

    /// Returns the JSON of each event; empty for one whose payload is JSON itself.
    pub(super) fn each(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let bounds = starts.zip(&self.ends);
        bounds.filter_map(|(&start, &end)| self.bytes.get(start..end))
    }
}
