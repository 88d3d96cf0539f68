//! Lanes: the numbers under which workers put on record what they run.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::event::RequestId;
use crate::mailbox::Mailbox;
use crate::slot::Taken;
use crate::store::EventStore;
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
    busy: bool,
}

impl Lanes {
    pub(crate) fn take(&self, store: Arc<dyn EventStore>) -> Lane {
        let mut free = self.0.lock();
        let number = free.given_back.pop().unwrap_or_else(|| {
            free.next += 1;
            free.next - 1
        });
        Lane {
            store,
            lanes: self.clone(),
            number,
            busy: false,
        }
    }
}

impl Lane {
    /// The event runs from now on.
    pub(crate) fn run(&mut self, taken: &Taken, mailbox: &Mailbox) {
        if taken.ticket.stored {
            self.busy = true;
            self.record(Some(taken.ticket.id), Some(mailbox));
        } else {
            self.rest();
        }
    }

    /// Nothing runs.
    pub(crate) fn rest(&mut self) {
        if std::mem::replace(&mut self.busy, false) {
            self.record(None, None);
        }
    }

    fn record(&self, event: Option<RequestId>, mailbox: Option<&Mailbox>) {
        let recorded = crate::panic::catch(|| self.store.begin(self.number, event));
        let problem = match recorded {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panicked) => panicked.message,
        };
        if let Some(mailbox) = mailbox {
            mailbox.meter(|meters| meters.store_errors += 1);
            telemetry::begin_failed(mailbox.name(), &problem);
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.rest();
        self.lanes.0.lock().given_back.push(self.number);
    }
}
