//! The mailbox's lock. Its guard runs the deferred work on release; `lock` also enqueues the arrivals of the intake, so that
//! the queue is complete.

use parking_lot::MutexGuard;

use super::{Inner, Mailbox};
use crate::base::spin_lock;
use crate::mailbox::deferred::Deferred;
use crate::mailbox::grant::Grants;

/// The locked mailbox. Runs the deferred work when it is dropped, after it has released the lock.
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
        if !self.0.deferred.is_empty() || !self.0.queue.finished.forgotten_letters.is_empty() {
            let deferred = std::mem::take(&mut self.0.deferred);
            let letters = std::mem::take(&mut self.0.queue.finished.forgotten_letters);
            MutexGuard::unlocked(&mut self.0, || {
                drop(letters);
                deferred.into_iter().for_each(Deferred::run);
            });
        }
    }
}

impl Mailbox {
    /// Takes the lock and enqueues the arrivals of the intake.
    pub(super) fn lock(&self) -> MailboxGuard<'_> {
        let mut inner = self.lock_as_is();
        self.enqueue_arrivals(&mut inner, Grants::Renew);
        inner
    }

    /// Takes the lock and leaves the intake alone.
    #[inline]
    pub(super) fn lock_as_is(&self) -> MailboxGuard<'_> {
        MailboxGuard(spin_lock::take(&self.inner))
    }

    /// As `lock`, and no event comes in without the lock until the next grant: the bounds hold exactly.
    pub(super) fn lock_to_admit(&self) -> MailboxGuard<'_> {
        let mut inner = self.lock_as_is();
        self.enqueue_arrivals(&mut inner, Grants::Revoke);
        inner
    }
}
