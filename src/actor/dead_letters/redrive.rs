//! The redrive: sends dead letters back through their functions, one message for each letter.

use std::time::Duration;

use actix::prelude::*;

use super::DeadLetterQueue;
use super::filter::Filter;
use super::letter_index::PlaceRange;
use crate::admission::receipts::Admitting;
use crate::error::Fault;
use crate::error::InvokeError;
use crate::event::Invoke;
use crate::event::dead_letter::DeadLetter;
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;

/// Sends dead letters back through their functions, oldest first: each becomes a new event with a new request id, a
/// fresh age and fresh retries, and a link to the letter. The trace header, retry policy and maximum age that the first
/// event was given with [`Invoke`] hold for the new one too. A letter leaves the queue when its event is accepted; a letter
/// whose event is refused stays.
///
/// The reply comes when all are sent, which takes its time at a pace. Each selected letter is in one list of the reply.
#[derive(Debug, Message)]
#[rtype(result = "Redriven")]
pub struct Redrive {
    selection: RedriveTarget,
    per_second: Option<f64>,
    payload: Option<Payload>,
    dry_run: bool,
}

#[derive(Debug)]
enum RedriveTarget {
    One(RequestId, Filter),
    All(Filter),
}

impl Redrive {
    fn of(selection: RedriveTarget) -> Self {
        Self {
            selection,
            per_second: None,
            payload: None,
            dry_run: false,
        }
    }

    /// One letter.
    pub fn one(id: RequestId) -> Self {
        Self::of(RedriveTarget::One(id, Filter::new()))
    }

    /// The letters that the filter matches now.
    pub fn filter(filter: Filter) -> Self {
        Self::of(RedriveTarget::All(filter))
    }

    /// One letter, among those of the id that the filter matches.
    // The HTTP API alone redrives by id and filter: its callers may not redrive all letters.
    #[cfg(feature = "http")]
    pub(crate) fn one_of(id: RequestId, filter: Filter) -> Self {
        Self::of(RedriveTarget::One(id, filter))
    }

    /// Every letter that is in the queue now.
    pub fn all() -> Self {
        Self::filter(Filter::new())
    }

    /// At most so many per second; 0.1 is one in ten seconds. A pace that is not a positive number has every letter
    /// refused with [`InvokeError::Setting`].
    pub fn per_second(mut self, letters: f64) -> Self {
        self.per_second = Some(letters);
        self
    }

    /// With this payload in place of the letters' own.
    pub fn payload(mut self, payload: Payload) -> Self {
        self.payload = Some(payload);
        self
    }

    /// Only reports which letters would be sent, and changes nothing.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Returns the pause between two letters, or the fault of the pace.
    fn pause(&self) -> Result<Option<Duration>, String> {
        let Some(pace) = self.per_second else {
            return Ok(None);
        };
        let pause = Duration::try_from_secs_f64(1.0 / pace).ok();
        let pause = pause.filter(|_| pace > 0.0);
        let faulty = || format!("is {pace:?}: use a positive number, such as 0.1");
        pause.map(Some).ok_or_else(faulty)
    }
}

/// The outcome of a redrive.
#[derive(Debug, Default, MessageResponse)]
#[non_exhaustive]
pub struct Redriven {
    /// Letters that were sent, with the request ids of their new events; after a dry run, letters that would be sent, with
    /// their own ids.
    pub sent: Vec<(RequestId, RequestId)>,
    /// Letters that were refused, and why. They are still in the queue; at a shutdown they are in its report, and in the
    /// store if there is one.
    pub refused: Vec<(RequestId, InvokeError)>,
    /// Letters that were not in the queue, or not any more when their turn came: purged, dropped, or taken by another
    /// redrive.
    pub missing: Vec<RequestId>,
}

impl Handler<Redrive> for DeadLetterQueue {
    type Result = ResponseFuture<Redriven>;

    fn handle(&mut self, redrive: Redrive, ctx: &mut Self::Context) -> Self::Result {
        let (queue, range) = (ctx.address(), self.letters.present());
        self.budget.spend(0, ctx);
        Box::pin(async move {
            let (pause, faulty) = match redrive.pause() {
                Ok(pause) => (pause, None),
                Err(problem) => (None, Some(problem)),
            };
            let Redrive {
                selection,
                payload,
                dry_run,
                ..
            } = redrive;
            let mut redriven = Redriven::default();
            let selected = selected(&queue, selection, range).await;
            for (index, (place, id)) in selected.into_iter().enumerate() {
                if let Some(pause) = pause.filter(|_| index > 0 && !dry_run) {
                    tokio::time::sleep(pause).await;
                }
                let one = RedriveOne {
                    place,
                    payload: payload.clone(),
                    dry_run,
                    faulty: faulty.clone(),
                };
                match queue.send(one).await {
                    Ok(Some(Ok(new))) => redriven.sent.push((id, new)),
                    Ok(Some(Err(refused))) => redriven.refused.push((id, refused)),
                    Ok(None) | Err(_) => redriven.missing.push(id),
                }
            }
            redriven
        })
    }
}

/// Returns the places and ids of the selected letters. A letter that isn't in the queue has no place.
async fn selected(
    queue: &Addr<DeadLetterQueue>,
    selection: RedriveTarget,
    mut range: PlaceRange,
) -> Vec<(Option<u64>, RequestId)> {
    let filter = match selection {
        RedriveTarget::One(id, filter) => {
            let place = queue.send(SelectOne { id, filter }).await;
            return vec![(place.ok().flatten(), id)];
        }
        RedriveTarget::All(filter) => filter,
    };
    let mut all = Vec::new();
    loop {
        let filter = filter.clone();
        let Ok((some, next)) = queue.send(Select { filter, range }).await else {
            return all;
        };
        all.extend(some.into_iter().map(|(place, id)| (Some(place), id)));
        match next {
            Some(after) => range.after = after,
            None => return all,
        }
    }
}

/// Asks for the place of the letter of an id that the filter matches, unless it is being sent.
#[derive(Message)]
#[rtype(result = "Option<u64>")]
struct SelectOne {
    id: RequestId,
    filter: Filter,
}

impl Handler<SelectOne> for DeadLetterQueue {
    type Result = Option<u64>;

    fn handle(
        &mut self,
        SelectOne { id, filter }: SelectOne,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        self.budget.spend(0, ctx);
        self.letters.find_unsent(id, &filter)
    }
}

/// Asks which letters match, in pieces. The reply is their places and ids, and after which place the next piece begins.
#[derive(Message)]
#[rtype(result = "(Vec<(u64, RequestId)>, Option<u64>)")]
struct Select {
    filter: Filter,
    range: PlaceRange,
}

impl Handler<Select> for DeadLetterQueue {
    type Result = MessageResult<Select>;

    fn handle(
        &mut self,
        Select { filter, range }: Select,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        let (places, scan) = self.letters.places(&filter, range);
        self.budget.spend(scan.checks, ctx);
        let letters = places.into_iter();
        let letters = letters.filter_map(|place| Some((place, self.letters.at(place)?.request_id)));
        MessageResult((letters.collect(), scan.next))
    }
}

#[derive(Message)]
#[rtype(result = "Option<Result<RequestId, InvokeError>>")]
struct RedriveOne {
    /// `None` if the letter isn't in the queue.
    place: Option<u64>,
    payload: Option<Payload>,
    dry_run: bool,
    /// The fault of the pace; the letter is then refused.
    faulty: Option<String>,
}

impl Handler<RedriveOne> for DeadLetterQueue {
    type Result = Response<Option<Result<RequestId, InvokeError>>>;

    fn handle(&mut self, one: RedriveOne, ctx: &mut Self::Context) -> Self::Result {
        self.budget.spend(0, ctx);
        let place = one.place.filter(|place| !self.letters.is_sending(*place));
        let letter = place.and_then(|place| Some((place, self.letters.at(place)?)));
        let Some((place, letter)) = letter else {
            // At a shutdown the letters are in its report, not missing.
            let closed = self.admission.door.check().err();
            return Response::reply(closed.map(Err));
        };
        if let Some(problem) = one.faulty {
            let fault = Fault {
                function: letter.function.to_string(),
                field: "per_second",
                problem,
            };
            return Response::reply(Some(Err(InvokeError::Setting(fault))));
        }
        let admission = &self.admission;
        let id = letter.request_id;
        let function = admission.registry.current_name(letter.function.clone());
        let invoke = successor(letter, &function, one.payload);
        if one.dry_run {
            let checked = admission.dry_run(invoke);
            return Response::reply(Some(checked.map(|()| id)));
        }
        match admission.accept(&invoke.function, invoke.payload, invoke.options) {
            Admitting::Over(result) => {
                self.sent(place, result.is_ok(), ctx);
                Response::reply(Some(result.map(|receipt| receipt.request_id)))
            }
            storing => {
                self.letters.start_sending(place);
                let queue = ctx.address();
                Response::fut(async move {
                    let result = storing.wait().await;
                    let accepted = result.is_ok();
                    // If the queue is gone, so are its letters.
                    let _ = queue.send(Sent { place, accepted }).await;
                    Some(result.map(|receipt| receipt.request_id))
                })
            }
        }
    }
}

/// The store has accepted or refused the event that takes the place of this letter.
#[derive(Message)]
#[rtype(result = "()")]
struct Sent {
    place: u64,
    accepted: bool,
}

impl Handler<Sent> for DeadLetterQueue {
    type Result = ();

    fn handle(&mut self, Sent { place, accepted }: Sent, ctx: &mut Self::Context) {
        self.budget.spend(0, ctx);
        self.sent(place, accepted, ctx);
    }
}

/// Returns the event that a letter becomes when it is redriven.
fn successor(letter: &DeadLetter, function: &FunctionName, payload: Option<Payload>) -> Invoke {
    let payload = payload.unwrap_or_else(|| letter.payload.clone());
    Invoke::event(function.to_string(), payload).option(|options| {
        options.meta = letter.redriven(letter.request_id);
    })
}

impl DeadLetterQueue {
    /// Ends the sending of a letter: if its event was accepted, the letter leaves the queue.
    fn sent(&mut self, place: u64, accepted: bool, ctx: &mut Context<Self>) {
        self.letters.sent(place, accepted);
        if accepted {
            self.keep_held(ctx);
        }
    }
}
