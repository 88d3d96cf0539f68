//! The purge: removes dead letters for good, in bounded pieces.

use actix::prelude::*;

use super::DeadLetterQueue;
use super::filter::Filter;
use super::letter_index::PlaceRange;

/// Removes dead letters for good, except those that are being redriven at this moment. The reply is how many: none once the
/// runtime has ended. Held letters take the room. Durable a little later, or once [`Client::sync`](crate::Client::sync) has
/// returned.
///
/// Means the letters that are in the queue when the message is handled. Many are purged in pieces of 5,000, between which
/// the queue does other things.
#[derive(Debug, Message)]
#[rtype(result = "usize")]
pub struct Purge(pub Filter);

impl Handler<Purge> for DeadLetterQueue {
    type Result = Response<usize>;

    fn handle(&mut self, Purge(filter): Purge, ctx: &mut Self::Context) -> Self::Result {
        let mut range = self.letters.present();
        let (mut purged, mut next) = self.purge(&filter, range, ctx);
        if next.is_none() {
            return Response::reply(purged);
        }
        let queue = ctx.address();
        Response::fut(async move {
            while let Some(after) = next {
                range.after = after;
                let filter = filter.clone();
                let Ok((some, then)) = queue.send(PurgeSome { filter, range }).await else {
                    break;
                };
                (purged, next) = (purged + some, then);
            }
            purged
        })
    }
}

/// A piece of [`Purge`]. The reply is how many it purged, and after which place the next piece begins.
#[derive(Message)]
#[rtype(result = "(usize, Option<u64>)")]
struct PurgeSome {
    filter: Filter,
    range: PlaceRange,
}

impl Handler<PurgeSome> for DeadLetterQueue {
    type Result = MessageResult<PurgeSome>;

    fn handle(&mut self, some: PurgeSome, ctx: &mut Self::Context) -> Self::Result {
        MessageResult(self.purge(&some.filter, some.range, ctx))
    }
}

impl DeadLetterQueue {
    fn purge(
        &mut self,
        filter: &Filter,
        range: PlaceRange,
        ctx: &mut Context<Self>,
    ) -> (usize, Option<u64>) {
        let (mut places, scan) = self.letters.places(filter, range);
        places.retain(|&place| !self.letters.is_sending(place));
        let admission = self.admission.clone();
        let discard = || {
            let places = places.iter();
            let discard = places.filter_map(|&place| {
                let letter = self.letters.remove(place)?;
                self.forget(&letter);
                Some(letter)
            });
            discard.collect::<Vec<_>>()
        };
        // After the runtime's end, the next process would load the letters again.
        let Some(discarded) = admission.door.before_end(discard) else {
            return (0, None);
        };
        drop(discarded);
        self.keep_held(ctx);
        self.budget.spend(scan.checks, ctx);
        (places.len(), scan.next)
    }
}
