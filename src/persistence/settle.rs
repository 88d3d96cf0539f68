//! Settlements: the store learns what became of an event that it has.

use super::StoreLink;
use crate::base::panic::{self, Panicked};
use crate::error::StoreError;
use crate::event::request_id::RequestId;
use crate::mailbox::Mailbox;
use crate::queue::entry::Ticket;
use crate::store::{Settled, Settlement};
use crate::telemetry;

impl StoreLink {
    /// Reports what became of an event, if the store has it. Fire-and-forget: it returns at once.
    pub(crate) fn settle(
        &self,
        mailbox: &Mailbox,
        ticket: Ticket,
        settlement: impl FnOnce() -> Settlement,
    ) {
        if ticket.stored {
            self.settle_stored(Some(mailbox), ticket.id, settlement());
        }
    }

    /// Reports what became of an event that the store has. Returns whether the store takes that.
    pub(crate) fn settle_stored(
        &self,
        mailbox: Option<&Mailbox>,
        id: RequestId,
        settlement: Settlement,
    ) -> bool {
        let Some(link) = &self.link else {
            return false;
        };
        let settled = Settled::new(id, link.clock.now().stored(), settlement);
        let settled = panic::catch(|| link.store.settle(settled)).unwrap_or_else(refused);
        if let Err(error) = settled {
            if let Some(mailbox) = mailbox {
                mailbox.meter(|meters| meters.store_errors += 1);
            }
            telemetry::settle_failed(
                &link.refused_settlements,
                link.clock.now(),
                mailbox.map(Mailbox::name),
                id,
                &error.to_string(),
            );
            return false;
        }
        telemetry::settle_succeeded(&link.refused_settlements, || link.clock.now());
        true
    }
}

fn refused(Panicked { message, .. }: Panicked) -> Result<(), StoreError> {
    Err(StoreError::new(format!("the store {message}")))
}
