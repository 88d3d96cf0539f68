//! The work budget: how much an actor of the control plane does before the others on its arbiter are polled.
//!
//! actix polls the mailbox of an actor until it is empty, and only then what the actor itself has spawned; while that
//! lasts, nothing else on the arbiter is polled. An actor that is sent messages as fast as it handles them would stop all
//! the others. So each message does bounded work, and after a turn's worth of it the actor waits until the others have
//! been polled. Because even then its mailbox comes before what it has spawned, these actors spawn nothing in their own
//! context: timers and the like are tasks that send a message.

use actix::prelude::*;

/// The work of one turn, in letters looked at: some 200 microseconds.
const TURN: usize = 1_000;

/// The cost of a message beside the letters that it looks at.
const MESSAGE: usize = 16;

/// Counts the work that an actor has done in its turn.
#[derive(Debug, Default)]
pub(crate) struct WorkBudget {
    done: usize,
}

impl WorkBudget {
    /// Counts a message that looked at so many letters, or did work for so many. Ends the turn when that was enough: the
    /// next message is handled when the other actors and tasks of the arbiter have been polled. Returns whether it did.
    pub(crate) fn spend<A>(&mut self, letters: usize, ctx: &mut Context<A>) -> bool
    where
        A: Actor<Context = Context<A>>,
    {
        self.done += MESSAGE + letters;
        let over = self.done >= TURN;
        if over {
            self.done = 0;
            ctx.wait(actix::fut::wrap_future(tokio::task::yield_now()));
        }
        over
    }
}
