//! The hand-over: at a shutdown, the letters leave the queue for the report.

use actix::prelude::*;

use super::DeadLetterQueue;
use crate::event::dead_letter::DeadLetter;

/// Takes out all letters: the kept ones, those that are being sent included, and the held ones. Later letters are ignored.
#[derive(Message)]
#[rtype(result = "Vec<DeadLetter>")]
pub(crate) struct HandOver;

impl Handler<HandOver> for DeadLetterQueue {
    type Result = ResponseFuture<Vec<DeadLetter>>;

    fn handle(&mut self, _: HandOver, ctx: &mut Self::Context) -> Self::Result {
        self.handed_over = true;
        let queue = ctx.address();
        Box::pin(async move {
            let mut letters = Vec::new();
            while let Ok(some) = queue.send(HandOverSome).await
                && !some.is_empty()
            {
                letters.extend(some);
            }
            letters
        })
    }
}

/// A piece of [`HandOver`]; empty when nothing is left.
#[derive(Message)]
#[rtype(result = "Vec<DeadLetter>")]
struct HandOverSome;

impl Handler<HandOverSome> for DeadLetterQueue {
    type Result = Vec<DeadLetter>;

    fn handle(&mut self, _: HandOverSome, ctx: &mut Self::Context) -> Self::Result {
        let mut letters = self.letters.take_kept();
        if letters.is_empty() {
            letters.extend(self.letters.take_held().into_iter().map(|bury| {
                // A stored event stays pending in the store.
                if !bury.letter.stored {
                    bury.mailbox.bury(bury.ticket, &bury.letter);
                }
                bury.letter
            }));
        }
        self.budget.spend(letters.len(), ctx);
        letters
    }
}
