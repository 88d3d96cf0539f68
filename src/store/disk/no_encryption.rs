//! The build without encryption, which can't read the file `keys`.

use super::cipher::Ring;
use crate::error::StoreError;

/// Returns `named`, the ring that the headers of the log name.
pub(super) fn claimed(_keys: &[u8], named: Option<Ring>) -> Result<Option<Ring>, StoreError> {
    Ok(named)
}
