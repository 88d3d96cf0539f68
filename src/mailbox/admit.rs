//! How events and calls come in: the checks that need the lock, the queue, and who is woken.
//!
//! A refused entry goes back to its caller, which drops it outside of the lock.

use tokio::sync::oneshot;

use super::{Inner, Mailbox};
use crate::base::time::Time;
use crate::event::request_id::RequestId;
use crate::function::crash_loop::Gate;
use crate::mailbox::snapshot::EventOutcome;
use crate::mailbox::wake;
use crate::queue::entry::Entry;
use crate::queue::{RefusalReason, RefusedEntry};

impl Mailbox {
    /// Takes the event in and wakes a worker for it. Returns its request id.
    pub(crate) fn admit(
        &self,
        entry: Entry,
        random: u128,
        now: Time,
    ) -> Result<RequestId, RefusedEntry> {
        let entry = match self.intake.put(entry, self.number, random, now) {
            Ok(id) => return Ok(id),
            Err(entry) => entry,
        };
        let mut inner = self.lock_to_admit();
        let entry = inner.check_open(entry)?;
        let admitted = inner.queue.admit(entry, random, now);
        let wakeups = inner.wake_for_event(self.rules(), now);
        self.extend_grant(&mut inner, now);
        drop(inner);
        // Refused or not: a worker that was chosen to be woken counts as awake.
        self.wake(wakeups);
        admitted
    }

    /// Takes in all `entries` or none. Returns their request ids.
    pub(crate) fn admit_all(
        &self,
        entries: Vec<(Entry, u128)>,
        now: Time,
    ) -> Result<Vec<RequestId>, RefusalReason> {
        let (mut ids, mut wakeups) = (Vec::with_capacity(entries.len()), Vec::new());
        let bytes = entries
            .iter()
            .map(|(entry, _)| entry.payload.size() as u64)
            .sum();
        // Entries that are left over after a refusal are dropped after the lock.
        let mut entries = entries.into_iter();
        let mut inner = self.lock_to_admit();
        inner.may_admit()?;
        inner.queue.volume.reserve(entries.len() as u32, bytes)?;
        inner.queue.volume.unreserve(entries.len() as u32, bytes);
        for (entry, random) in entries.by_ref() {
            // A generated id for which there is room is not refused.
            ids.extend(inner.queue.admit(entry, random, now).ok());
            wakeups.push(inner.wake_for_event(self.rules(), now));
        }
        drop(inner);
        wakeups.into_iter().for_each(|wakeups| self.wake(wakeups));
        Ok(ids)
    }

    /// Takes a call in. Returns its request id, and where its outcome will be sent.
    pub(crate) fn admit_call(
        &self,
        entry: Entry,
        random: u128,
        now: Time,
    ) -> Result<(RequestId, oneshot::Receiver<EventOutcome>), RefusedEntry> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.lock_to_admit();
        let entry = inner.check_open(entry)?;
        // Checked under the lock, where no other call comes in meanwhile.
        let reserved = self.live_settings.reserved();
        if let Some(reserved) = reserved.filter(|&it| inner.queue.occupied() >= u64::from(it)) {
            inner.meters.throttles += 1;
            let why = RefusalReason::ReservedInUse(reserved);
            return Err(RefusedEntry { why, entry });
        }
        let id = inner.queue.admit(entry, random, now)?;
        inner.watchers.add(id, sender);
        let mut wakeups = inner.wake_for_event(self.rules(), now);
        let backs_off = matches!(inner.restarts.gate(), Gate::BackingOff(_));
        let out_of_threads = inner.is_out_of_threads(self.settings());
        wakeups.supervisor |= wake::calls_supervisor_for_call(backs_off, out_of_threads);
        drop(inner);
        self.wake(wakeups);
        Ok((id, receiver))
    }
}

impl Inner {
    /// Returns the entry, or refuses it if the mailbox is closed for good.
    fn check_open(&self, entry: Entry) -> Result<Entry, RefusedEntry> {
        match self.may_admit() {
            Ok(()) => Ok(entry),
            Err(why) => Err(RefusedEntry { why, entry }),
        }
    }

    pub(super) fn may_admit(&self) -> Result<(), RefusalReason> {
        match (self.removed, self.closed) {
            (true, _) => Err(RefusalReason::Removed),
            (false, true) => Err(RefusalReason::Closed),
            (false, false) => Ok(()),
        }
    }
}
