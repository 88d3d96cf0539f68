//! Lanes: the numbers under which workers put on record what they run.

use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::event::request_id::RequestId;
use crate::mailbox::Mailbox;
use crate::queue::entry::Taken;
use crate::store::{CRASH_MARK_EVENTS_MAX, EventStore};
use crate::telemetry;

/// Which lanes are free.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lanes(Arc<Mutex<Free>>);

#[derive(Debug, Default)]
struct Free {
    given_back: Vec<u32>,
    next: u32,
}

/// A worker's lane. It is free again when it is dropped.
pub(crate) struct Lane {
    store: Arc<dyn EventStore>,
    lanes: Lanes,
    number: u32,
    /// What the store was told last.
    told: SmallVec<[RequestId; CRASH_MARK_EVENTS_MAX]>,
    /// May the store be told of events before they run? If the process dies, they are taken for one that may have killed
    /// it, and run with no other of the kind: that costs little, unless one death is enough.
    ahead: bool,
    /// The store did not take what it was told last, which was logged.
    fails: bool,
}

impl Lanes {
    pub(crate) fn take(&self, store: Arc<dyn EventStore>, deaths_max: u32) -> Lane {
        let mut free = self.0.lock();
        let number = free.given_back.pop().unwrap_or_else(|| {
            free.next += 1;
            free.next - 1
        });
        Lane {
            store,
            lanes: self.clone(),
            number,
            told: SmallVec::new(),
            ahead: deaths_max > 1,
            fails: false,
        }
    }
}

impl Lane {
    /// The event runs from now on. Where the worker is `brisk`, the store is told of those that come next too.
    pub(crate) fn run(&mut self, taken: &Taken, brisk: bool, mailbox: &Mailbox) {
        let id = taken.ticket.id;
        if !taken.ticket.stored {
            return self.rest();
        }
        if !taken.suspect && self.told.contains(&id) {
            return;
        }
        self.told.clear();
        self.told.push(id);
        if brisk && self.ahead && !taken.suspect {
            mailbox.upcoming(&mut self.told, CRASH_MARK_EVENTS_MAX - 1);
        }
        self.record(Some(mailbox));
    }

    /// Nothing runs.
    pub(crate) fn rest(&mut self) {
        if !self.told.is_empty() {
            self.told.clear();
            self.record(None);
        }
    }

    fn record(&mut self, mailbox: Option<&Mailbox>) {
        let recorded = crate::base::panic::catch(|| self.store.begin(self.number, &self.told));
        let problem = match recorded {
            Ok(Ok(())) => {
                self.fails = false;
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(panicked) => panicked.message,
        };
        self.told.clear();
        if let Some(mailbox) = mailbox {
            mailbox.meter(|meters| meters.store_errors += 1);
            // Each run would say the same.
            if !std::mem::replace(&mut self.fails, true) {
                telemetry::crash_mark_failed(mailbox.name(), &problem);
            }
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.rest();
        self.lanes.0.lock().given_back.push(self.number);
    }
}
