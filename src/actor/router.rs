//! The router: the actor that accepts invocations and forwards them to mailboxes.

use std::sync::Arc;

use actix::prelude::*;

use crate::actor::lost_actor::Post;
use crate::actor::turn::Turn;
use crate::admission::{Admission, Admitting};
use crate::error::InvokeError;
use crate::event::{Invoke, Receipt};

/// Accepts [`Invoke`] messages, from actor to actor, and answers at once: with a [`Receipt`], or with the reason
/// for its refusal. It knows all functions by name and runs none of their code.
#[derive(Debug)]
pub struct Router {
    post: Post,
    turn: Turn,
}

impl Router {
    pub(crate) fn new(admission: Arc<Admission>) -> Self {
        Self {
            post: Post::new(admission, "router", None),
            turn: Turn::default(),
        }
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
        self.turn.spend(0, ctx);
        match self
            .post
            .admission
            .accept(&invoke.function, invoke.payload, invoke.options)
        {
            Admitting::Over(result) => Response::reply(result),
            Admitting::Storing(receipts) => Response::fut(receipts.one()),
        }
    }
}
