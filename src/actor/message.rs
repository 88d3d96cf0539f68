//! The messages between actors. Those of users stand with the actor that they are for.

use std::sync::Arc;

use actix::Message;

use crate::event::dead_letter::DeadLetter;
use crate::mailbox::Mailbox;
use crate::mailbox::supervisor_message::SupervisorMessage;
use crate::queue::entry::Ticket;

impl Message for SupervisorMessage {
    type Result = ();
}

impl Message for DeadLetter {
    type Result = ();
}

/// Supervisor to dead-letter queue: keep this letter, then end its event in the mailbox.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Bury {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) ticket: Ticket,
    pub(crate) letter: DeadLetter,
}

/// Runtime to supervisor: the function is removed; end its events and workers.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Removed;
