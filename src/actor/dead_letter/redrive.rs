//! Sending dead letters back.

use std::future::ready;
use std::time::Duration;

use actix::prelude::*;

use super::{DeadLetterQueue, Filter};
use crate::error::InvokeError;
use crate::event::{Invoke, RequestId};
use crate::failure::DeadLetter;
use crate::payload::Payload;
use crate::settings::Fault;

/// Sends dead letters back through their functions, oldest first: each becomes a new event with a new request id, a
/// fresh age and fresh retries, and a link to the letter. What was said of the first event with [`Invoke`] holds for the
/// new one too: trace header, retry policy and maximum age. A letter leaves the queue when its event is accepted; one that
/// is refused stays.
///
/// Answers when all are sent: at a pace, that takes its time. Each letter that was meant is in one list of the answer.
#[derive(Debug, Message)]
#[rtype(result = "Redriven")]
pub struct Redrive {
    which: Which,
    per_second: Option<f64>,
    payload: Option<Payload>,
    dry_run: bool,
}

#[derive(Debug)]
enum Which {
    One(RequestId),
    All(Filter),
}

impl Redrive {
    fn of(which: Which) -> Self {
        Self {
            which,
            per_second: None,
            payload: None,
            dry_run: false,
        }
    }

    /// One letter.
    pub fn one(id: RequestId) -> Self {
        Self::of(Which::One(id))
    }

    /// Those that the filter matches now.
    pub fn filter(filter: Filter) -> Self {
        Self::of(Which::All(filter))
    }

    /// Every letter that is in the queue now.
    pub fn all() -> Self {
        Self::filter(Filter::new())
    }

    /// At most so many per second; 0.1 is one in ten seconds. A pace that is no positive number gets every letter refused
    /// with [`InvokeError::Setting`].
    pub fn per_second(mut self, letters: f64) -> Self {
        self.per_second = Some(letters);
        self
    }

    /// With this payload in place of the letter's own; every letter that is meant gets it.
    pub fn payload(mut self, payload: Payload) -> Self {
        self.payload = Some(payload);
        self
    }

    /// Only says what would be sent: nothing is changed.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// The pause between two letters, or what is wrong with the pace.
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

/// What a redrive came to.
#[derive(Debug, Default, MessageResponse)]
#[non_exhaustive]
pub struct Redriven {
    /// Letters that were sent, with the request ids of their new events; after a dry run, those that would be, with their own.
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
        let ids: Vec<_> = match &redrive.which {
            Which::One(id) => vec![*id],
            Which::All(filter) => self
                .matching(filter)
                .map(|letter| letter.request_id)
                .collect(),
        };
        let pause = match redrive.pause() {
            Ok(pause) => pause,
            Err(problem) => {
                return Box::pin(ready(self.refuse(ids, "per_second", &problem)));
            }
        };
        let queue = ctx.address();
        Box::pin(async move {
            let mut redriven = Redriven::default();
            for (index, id) in ids.into_iter().enumerate() {
                if let Some(pause) = pause.filter(|_| index > 0 && !redrive.dry_run) {
                    tokio::time::sleep(pause).await;
                }
                let one = RedriveOne {
                    id,
                    payload: redrive.payload.clone(),
                    dry_run: redrive.dry_run,
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

#[derive(Message)]
#[rtype(result = "Option<Result<RequestId, InvokeError>>")]
struct RedriveOne {
    id: RequestId,
    payload: Option<Payload>,
    dry_run: bool,
}

impl Handler<RedriveOne> for DeadLetterQueue {
    type Result = ResponseActFuture<Self, Option<Result<RequestId, InvokeError>>>;

    fn handle(&mut self, one: RedriveOne, _: &mut Self::Context) -> Self::Result {
        let Some(letter) = self.get(one.id).filter(|_| !self.sending.contains(&one.id)) else {
            // At a shutdown the letters have left with the report: they are elsewhere, not missing.
            let closed = self.post.admission.ask_door().err();
            return Box::pin(actix::fut::ready(closed.map(Err)));
        };
        let invoke = successor(letter, one.payload);
        if one.dry_run {
            let checked = self.post.admission.dry_run(invoke);
            return Box::pin(actix::fut::ready(Some(checked.map(|()| one.id))));
        }
        self.sending.insert(one.id);
        let admitting =
            self.post
                .admission
                .accept(&invoke.function, invoke.payload, invoke.options);
        Box::pin(
            admitting
                .wait()
                .into_actor(self)
                .map(move |result, queue, _| {
                    queue.sending.remove(&one.id);
                    if result.is_ok() {
                        queue.remove(one.id);
                        queue.take_held();
                    }
                    Some(result.map(|receipt| receipt.request_id))
                }),
        )
    }
}

/// The event that a letter becomes when it is redriven.
fn successor(letter: &DeadLetter, payload: Option<Payload>) -> Invoke {
    let payload = payload.unwrap_or_else(|| letter.payload.clone());
    Invoke::event(letter.function.to_string(), payload).option(|options| {
        options.redriven_from = Some(letter.request_id);
        options.origin = letter.origin();
        options.retry.clone_from(&letter.retry);
        options.event_age_max = letter.event_age_max;
    })
}

impl DeadLetterQueue {
    /// What becomes of letters that can't be sent for a fault of the redrive itself.
    fn refuse(&self, ids: Vec<RequestId>, field: &'static str, problem: &str) -> Redriven {
        let mut redriven = Redriven::default();
        for id in ids {
            match self.get(id) {
                None => redriven.missing.push(id),
                Some(letter) => {
                    let fault = Fault {
                        function: letter.function.to_string(),
                        field,
                        problem: problem.to_owned(),
                    };
                    redriven.refused.push((id, InvokeError::Setting(fault)));
                }
            }
        }
        redriven
    }
}
