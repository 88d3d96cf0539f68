//! The locked mailbox, and what must wait until it is unlocked.

use parking_lot::MutexGuard;
use tokio::sync::oneshot;

use super::{Inner, Mailbox};
use crate::base::spin_lock;
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::mailbox::snapshot::EventOutcome;
use crate::telemetry;

/// What would run somebody else's code, a waker's, a `Drop`, a log subscriber's, and therefore waits until the lock is released.
pub(super) enum Deferred {
    Outcome(oneshot::Sender<EventOutcome>, EventOutcome),
    /// No end will be told.
    Gone(oneshot::Sender<EventOutcome>),
    Drained(oneshot::Sender<()>),
    Payload(Payload),
    /// To be logged: the function, the event and the attempt.
    Superseded(FunctionName, RequestId, u32),
    Recovered(FunctionName),
}

impl Deferred {
    fn run(self) {
        match self {
            Self::Outcome(watcher, end) => drop(watcher.send(end)),
            Self::Gone(watcher) => drop(watcher),
            Self::Drained(waiting) => drop(waiting.send(())),
            Self::Payload(payload) => drop(payload),
            Self::Superseded(function, id, attempt) => {
                telemetry::superseded(&function, id, attempt);
            }
            Self::Recovered(function) => telemetry::recovered(&function),
        }
    }
}

/// The locked mailbox. What has to wait for its release is done on the way out.
pub(super) struct MailboxGuard<'a>(MutexGuard<'a, Inner>);

impl std::ops::Deref for MailboxGuard<'_> {
    type Target = Inner;

    #[inline]
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl std::ops::DerefMut for MailboxGuard<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.0
    }
}

impl Drop for MailboxGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.0.later.is_empty() || !self.0.queue.remains.is_empty() {
            let later = std::mem::take(&mut self.0.later);
            let remains = std::mem::take(&mut self.0.queue.remains);
            MutexGuard::unlocked(&mut self.0, || {
                drop(remains);
                later.into_iter().for_each(Deferred::run);
            });
        }
    }
}

impl Mailbox {
    /// Takes the lock and brings in what has arrived, so that the books are whole.
    pub(super) fn lock(&self) -> MailboxGuard<'_> {
        let mut inner = self.lock_as_is();
        self.bring_in(&mut inner, false);
        inner
    }

    /// As `lock`, without what has arrived.
    #[inline]
    pub(super) fn lock_as_is(&self) -> MailboxGuard<'_> {
        MailboxGuard(spin_lock::take(&self.inner))
    }

    /// As `lock`, and nothing more arrives without the lock until `publish` has said how much may: the bounds hold exactly.
    pub(super) fn lock_to_admit(&self) -> MailboxGuard<'_> {
        let mut inner = self.lock_as_is();
        self.bring_in(&mut inner, true);
        inner
    }
}
