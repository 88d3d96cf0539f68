//! Cancelling an event: in its mailbox, or in the store's overflow.

use super::Admission;
use crate::base::time::Time;
use crate::event::request_id::RequestId;
use crate::mailbox::Mailbox;
use crate::persistence::load::returning;
use crate::store::Settlement;

impl Admission {
    /// Cancels an event that its mailbox has. Returns whether it was pending, and the store keeps that it is cancelled.
    pub(crate) fn cancel_in_mailbox(&self, mailbox: &Mailbox, id: RequestId) -> bool {
        let cancelled = self.door.before_end(|| {
            let cancelled = mailbox.cancel(id)?;
            let kept = cancelled.stored.is_none_or(|accepted| {
                let accepted_at = accepted.stored();
                let settlement = Settlement::Cancelled { accepted_at };
                self.store.settle_stored(Some(mailbox), id, settlement)
            });
            Some((cancelled, kept))
        });
        let Some((cancelled, kept)) = cancelled.flatten() else {
            return false;
        };
        cancelled.finish(mailbox);
        kept
    }

    /// Cancels an event of the overflow. Returns whether it was there, and the store keeps that it is cancelled.
    pub(crate) async fn cancel_in_overflow(&self, id: RequestId) -> bool {
        let Some(event) = self.store.load_one(id).await else {
            return false;
        };
        let (accepted_at, due) = (event.accepted_at, Time::of(event.due_at));
        let function = self.registry.current_name(event.function.clone());
        let mailbox = self.registry.named(function.as_str());
        let settlement = Settlement::Cancelled { accepted_at };
        let settle = || self.store.settle_stored(mailbox.as_deref(), id, settlement);
        let kept = self.door.before_end(settle).unwrap_or(false);
        match &mailbox {
            Some(mailbox) if kept => {
                mailbox
                    .storage()
                    .cancel_loaded(returning(event, u32::MAX, &self.clock), id);
            }
            Some(mailbox) => self.store.spill(mailbox, &[(id, due)]),
            None => {}
        }
        kept
    }
}
