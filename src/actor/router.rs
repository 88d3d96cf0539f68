//! The router: the actor that accepts invocations and forwards them to mailboxes.

use std::sync::Arc;

use actix::prelude::*;

use crate::admission::{Admission, Admitting, Door};
use crate::error::InvokeError;
use crate::event::{Invoke, Receipt};

/// Accepts [`Invoke`] messages, from actor to actor, and answers at once: with a [`Receipt`], or with the reason
/// for its refusal. It knows all functions by name and runs none of their code.
#[derive(Debug)]
pub struct Router {
    pub(crate) admission: Shared,
}

/// The admission; `Debug` shows nothing of it.
pub(crate) struct Shared(pub(crate) Arc<Admission>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admission")
    }
}

impl Actor for Router {
    type Context = Context<Self>;
}

/// However it ends, with it goes whoever would hear of an event.
impl Drop for Router {
    fn drop(&mut self) {
        self.admission.0.close(Door::Gone);
    }
}

impl Message for Invoke {
    type Result = Result<Receipt, InvokeError>;
}

impl Handler<Invoke> for Router {
    type Result = Response<Result<Receipt, InvokeError>>;

    fn handle(&mut self, invoke: Invoke, _: &mut Self::Context) -> Self::Result {
        match self
            .admission
            .0
            .accept(&invoke.function, invoke.payload, invoke.options)
        {
            Admitting::Over(result) => Response::reply(result),
            Admitting::Storing(storing) => Response::fut(storing),
        }
    }
}
