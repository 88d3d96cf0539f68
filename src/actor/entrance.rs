//! The two ways into a runtime for its clients: the door, and the address of the dead-letter queue.

use std::sync::Arc;

use actix::Addr;

use crate::actor::dead_letters::DeadLetterQueue;
use crate::admission::Admission;

pub(crate) struct Entrance {
    pub(crate) admission: Arc<Admission>,
    pub(crate) dead_letters: Addr<DeadLetterQueue>,
}
