//! Crash marks: the store has on record which events each worker runs. If the process dies, the next one counts a death for
//! those that ran.

use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::event::request_id::RequestId;
use crate::mailbox::Mailbox;
use crate::queue::entry::Taken;
use crate::store::{CRASH_MARK_EVENTS_MAX, EventStore};
use crate::telemetry;

/// Which numbers of crash marks are free.
#[derive(Clone, Debug, Default)]
pub(crate) struct CrashMarkNumbers(Arc<Mutex<FreeNumbers>>);

#[derive(Debug, Default)]
struct FreeNumbers {
    given_back: Vec<u32>,
    next: u32,
}

/// A worker's crash mark. Its number is free again when it is dropped.
pub(crate) struct CrashMark {
    store: Arc<dyn EventStore>,
    marks: CrashMarkNumbers,
    number: u32,
    /// The events that the store has on record.
    marked: SmallVec<[RequestId; CRASH_MARK_EVENTS_MAX]>,
    /// Whether events may be marked before they run. If the process dies, each of them counts as a suspect and runs with no
    /// other suspect: that costs little, unless one death is enough.
    ahead: bool,
    /// Set while the store refuses marks: only the first refusal is logged.
    fails: bool,
}

impl CrashMarkNumbers {
    pub(crate) fn take(&self, store: Arc<dyn EventStore>, deaths_max: u32) -> CrashMark {
        let mut free = self.0.lock();
        let number = free.given_back.pop().unwrap_or_else(|| {
            free.next += 1;
            free.next - 1
        });
        CrashMark {
            store,
            marks: self.clone(),
            number,
            marked: SmallVec::new(),
            ahead: deaths_max > 1,
            fails: false,
        }
    }
}

impl CrashMark {
    /// Marks an event that is about to run. For a `fast` worker it marks those that come next too, so that not each run costs
    /// a record.
    pub(crate) fn run(&mut self, taken: &Taken, fast: bool, mailbox: &Mailbox) {
        let id = taken.ticket.id;
        if !taken.ticket.stored {
            return self.rest();
        }
        if !taken.suspect && self.marked.contains(&id) {
            return;
        }
        self.marked.clear();
        self.marked.push(id);
        if fast && self.ahead && !taken.suspect {
            mailbox
                .storage()
                .upcoming(&mut self.marked, CRASH_MARK_EVENTS_MAX - 1);
        }
        self.record(Some(mailbox));
    }

    /// Removes the mark: nothing runs.
    pub(crate) fn rest(&mut self) {
        if !self.marked.is_empty() {
            self.marked.clear();
            self.record(None);
        }
    }

    fn record(&mut self, mailbox: Option<&Mailbox>) {
        let recorded = crate::base::panic::catch(|| self.store.begin(self.number, &self.marked));
        let problem = match recorded {
            Ok(Ok(())) => {
                self.fails = false;
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(panicked) => panicked.message,
        };
        self.marked.clear();
        if let Some(mailbox) = mailbox {
            mailbox.meter(|meters| meters.store_errors += 1);
            // Each run would log the same.
            if !std::mem::replace(&mut self.fails, true) {
                telemetry::crash_mark_failed(mailbox.name(), &problem);
            }
        }
    }
}

impl Drop for CrashMark {
    fn drop(&mut self) {
        self.rest();
        self.marks.0.lock().given_back.push(self.number);
    }
}
