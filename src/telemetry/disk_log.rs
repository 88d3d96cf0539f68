//! Log lines of the disk store: writes that failed, a full disk, and a folder that was not closed in order.

use tracing::{error, info, warn};

use crate::event::request_id::RequestId;

pub(crate) fn store_error(reason: &str) {
    error!(reason, "store error");
}

pub(crate) fn store_full(reason: &str) {
    error!(
        reason,
        "store is full; events are refused until there is room"
    );
}

pub(crate) fn store_short(reason: &str) {
    warn!(
        reason,
        "store can't create its next file now; the last one grows on, and the store tries again"
    );
}

pub(crate) fn store_failed(reason: &str) {
    error!(
        reason,
        "store failed and takes nothing more; check the disk and restart the process"
    );
}

pub(crate) fn store_recovered() {
    info!("store takes events again");
}

/// Logs that the store could not write how an event ended.
pub(crate) fn store_lost(request_id: RequestId, reason: &str) {
    error!(%request_id, reason, "store could not write how an event ended; it may run again after a restart");
}

/// Logs that a failed store has lost the settlements that were sent to it.
pub(crate) fn store_lost_all(settlements: u64, reason: &str) {
    error!(
        settlements,
        reason,
        "store could not write how this many events ended; they may run again after a restart"
    );
}

/// Logs that the last file of the log has no proper end.
pub(crate) fn store_not_closed(file: &str, offset: u64, bytes: u64) {
    warn!(
        file,
        offset,
        bytes,
        "store was not closed in order: its last file counts up to byte `offset`, and the `bytes` bytes after it are not whole records and are ignored; usual after a kill or a power loss, otherwise damage"
    );
}

/// Logs that the last file of the log was left half made.
pub(crate) fn store_file_unfinished(file: &str, bytes: usize) {
    warn!(
        file,
        offset = 0,
        bytes,
        "store was not closed in order: its last file has only `bytes` bytes, holds no record, and is made anew; usual after a kill or a power loss, otherwise damage"
    );
}

/// Logs that a file's list of the events that ran can't be read.
pub(crate) fn store_running_damaged(file: &str, offset: u64, bytes: usize) {
    warn!(
        file,
        offset,
        bytes,
        "the list of the events that ran when the process ended is missing or can't be read: if one of them ended the process, that is not counted"
    );
}
