//! Single records: read, checked and decrypted.

use serde::Serialize;

use super::{Reader, Window};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::attempt::Attempt;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::store::disk::encrypted_fields::SecretKind;
use crate::store::disk::file_error::io_error;
use crate::store::disk::frame::{self, FramePlace};
use crate::store::disk::record::{self, Blob, LogRecord};
use crate::store::disk::segment_file;

impl Reader {
    /// Reads a payload or a result.
    pub(super) fn payload(
        &self,
        id: RequestId,
        (secret, clear): (SecretKind, impl Serialize),
        blob: Blob<'_>,
        place: FramePlace,
    ) -> Result<Payload, StoreError> {
        let bytes = self.cipher.decrypt(id, secret, clear, blob, place)?;
        let text = String::from_utf8(bytes.into_owned()).ok();
        let payload = text.and_then(|text| Payload::from_json(text).ok());
        payload.ok_or_else(|| self.damaged(place))
    }

    /// Reads the attempts in a blob, if there is one.
    pub(super) fn attempts(
        &self,
        id: RequestId,
        clear: impl Serialize,
        blob: Option<Blob<'_>>,
        place: FramePlace,
    ) -> Result<Vec<Attempt>, StoreError> {
        let Some(blob) = blob else {
            return Ok(Vec::new());
        };
        let bytes = self
            .cipher
            .decrypt(id, SecretKind::Attempts, clear, blob, place)?;
        record::read_attempts(&bytes).map_err(|_| self.damaged(place))
    }

    /// Reads the record at `place`, and hands it to `then`.
    pub(super) fn record<R>(
        &self,
        place: FramePlace,
        window: &mut Window,
        then: impl FnOnce(LogRecord<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let bytes = window.frame(&self.segments, place);
        let bytes = bytes.map_err(|error| {
            let name = segment_file::name(place.segment);
            io_error(&*self.files, &name, "read", &error)
        })?;
        let found = frame::read(bytes, place).map_err(|_| self.damaged(place))?;
        let record = LogRecord::read(found.body).map_err(|_| self.damaged(place))?;
        then(record)
    }

    /// Returns the error for a damaged record.
    pub(super) fn damaged(&self, place: FramePlace) -> StoreError {
        let message = format!(
            "`{}` is damaged at byte {}: its content is not what was written. The event there stays in its place. Restore the folder \
             from a backup, list the readable files with `redrive::store::disk::verify`, or save the readable events with \
             `Disk::salvage`",
            self.files.path(&segment_file::name(place.segment)),
            place.offset
        );
        StoreError::of(StoreErrorKind::Damaged, message)
    }
}
