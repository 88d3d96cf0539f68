//! The router: the actor that accepts invocations and forwards them to mailboxes.

use std::sync::Arc;

use actix::prelude::*;

use crate::actor::lost_actor::LossGuard;
use crate::actor::work_budget::WorkBudget;
use crate::admission::Admission;
use crate::admission::receipts::Admitting;
use crate::error::InvokeError;
use crate::event::{Invoke, Receipt};

/// Accepts [`Invoke`] messages, from actor to actor, and replies at once: with a [`Receipt`], or with the reason for the
/// refusal. It knows all functions by name and runs none of their code.
pub struct Router {
    admission: Arc<Admission>,
    _loss_guard: LossGuard,
    budget: WorkBudget,
}

impl Router {
    pub(crate) fn new(admission: Arc<Admission>) -> Self {
        Self {
            _loss_guard: LossGuard::new(admission.clone(), "router", None),
            admission,
            budget: WorkBudget::default(),
        }
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").finish_non_exhaustive()
    }
}

impl Actor for Router {
    type Context = Context<Self>;
}

impl Message for Invoke {
    type Result = Result<Receipt, InvokeError>;
}

impl Handler<Invoke> for Router {
    type Result = Response<Result<Receipt, InvokeError>>;

    fn handle(&mut self, invoke: Invoke, ctx: &mut Self::Context) -> Self::Result {
        self.budget.spend(0, ctx);
        match self
            .admission
            .accept(&invoke.function, invoke.payload, invoke.options)
        {
            Admitting::Over(result) => Response::reply(result),
            Admitting::Storing(receipts) => Response::fut(receipts.one()),
        }
    }
}
