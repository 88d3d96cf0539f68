//! The fields of a record that an encrypted folder encrypts. All others are plain: request ids, function names, times,
//! deduplication keys, trace headers, counts, and the sizes of records. The files of `store/disk/batch/` encrypt them.

/// The kinds of secrets in blobs: a blob of one kind does not decrypt as another.
#[derive(Clone, Copy)]
pub(super) enum SecretKind {
    Payload = 1,
    Attempts = 2,
    Result = 3,
    Execution = 4,
}
