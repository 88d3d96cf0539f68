//! The dead-letter queue: the actor that keeps what will not be tried again, tells its subscribers, and
//! redrives.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::ready;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::prelude::*;
use tokio::sync::mpsc;

use crate::actor::message::Bury;
use crate::actor::post::Post;
use crate::admission::Admission;
use crate::error::InvokeError;
use crate::event::{Invoke, RequestId};
use crate::failure::{Condition, DeadLetter};
use crate::payload::Payload;
use crate::settings::Fault;
use crate::store::Settlement;
use crate::telemetry;

/// How much the dead-letter queue keeps, and what it does when that is too much.
#[derive(Clone, Debug)]
pub struct DeadLetterBounds {
    pub(crate) letters_max: usize,
    pub(crate) bytes_max: u64,
    pub(crate) when_full: WhenFull,
}

impl DeadLetterBounds {
    /// At most so many letters with so many bytes of payloads and error texts, and what happens beyond.
    pub fn new(letters_max: usize, bytes_max: u64, when_full: WhenFull) -> Self {
        Self {
            letters_max,
            bytes_max,
            when_full,
        }
    }
}

/// 100,000 letters, 256 MiB; full means [`WhenFull::Hold`].
impl Default for DeadLetterBounds {
    fn default() -> Self {
        Self::new(100_000, 256 << 20, WhenFull::Hold)
    }
}

/// What a full dead-letter queue does with another dead letter. Each of these is logged as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The event stays pending in its function's mailbox until there is room. Nothing is lost; a function whose events
    /// keep dying fills its mailbox and refuses new ones.
    Hold,
    /// The oldest letter is dropped and counted in `DeadLetterErrors`.
    DropOldest,
    /// The new letter is dropped and counted in `DeadLetterErrors`; subscribers still see it.
    DropNewest,
}

/// The actor that keeps dead letters. Reach it by [`Runtime::dead_letters`](crate::Runtime::dead_letters), and send it
/// [`Subscribe`], [`List`], [`Get`], [`Redrive`] or [`Purge`].
///
/// The letters are in memory: they go with the process, or into the report of the shutdown.
pub struct DeadLetterQueue {
    post: Post,
    bounds: DeadLetterBounds,
    /// By order of arrival.
    letters: BTreeMap<u64, DeadLetter>,
    places: HashMap<RequestId, u64>,
    /// Letters whose redrive is under way. They keep their places until their events are accepted, and until then nobody
    /// else sends, drops or purges them.
    sending: HashSet<RequestId>,
    bytes: u64,
    arrivals: u64,
    /// Came when it was full; their mailboxes still have them.
    held: VecDeque<Bury>,
    subscribers: Vec<Subscriber>,
    subscriptions: u64,
}

impl std::fmt::Debug for DeadLetterQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetterQueue")
            .field("letters", &self.letters.len())
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

struct Subscriber {
    function: Option<String>,
    /// To the task that forwards to it, so that a slow one slows nobody.
    letters: mpsc::UnboundedSender<DeadLetter>,
}

/// What a letter takes beside its payload and texts.
const LETTER_BYTES: u64 = 512;

fn size(letter: &DeadLetter) -> u64 {
    let texts: usize = letter
        .attempts
        .iter()
        .map(|attempt| {
            attempt.failure.message.len()
                + attempt
                    .failure
                    .causes
                    .iter()
                    .map(String::len)
                    .sum::<usize>()
        })
        .sum();
    LETTER_BYTES + (letter.payload.size() + texts) as u64
}

impl DeadLetterQueue {
    pub(crate) fn new(admission: Arc<Admission>, bounds: DeadLetterBounds) -> Self {
        Self {
            post: Post::new(admission, "dead-letter queue", None),
            bounds,
            letters: BTreeMap::new(),
            places: HashMap::new(),
            sending: HashSet::new(),
            bytes: 0,
            arrivals: 0,
            held: VecDeque::new(),
            subscribers: Vec::new(),
            subscriptions: 0,
        }
    }

    fn has_room(&self, letter: &DeadLetter) -> bool {
        // One letter always fits: a bound below its size must not hold it for ever.
        self.letters.is_empty()
            || (self.letters.len() < self.bounds.letters_max
                && self.bytes + size(letter) <= self.bounds.bytes_max)
    }

    fn keep(&mut self, letter: DeadLetter) {
        self.arrivals += 1;
        self.bytes += size(&letter);
        self.places.insert(letter.request_id, self.arrivals);
        self.letters.insert(self.arrivals, letter);
    }

    fn remove(&mut self, id: RequestId) -> Option<DeadLetter> {
        let letter = self.letters.remove(&self.places.remove(&id)?)?;
        self.bytes -= size(&letter);
        Some(letter)
    }

    fn get(&self, id: RequestId) -> Option<&DeadLetter> {
        self.letters.get(self.places.get(&id)?)
    }

    /// Keeps what was held for want of room.
    fn take_held(&mut self) {
        while self
            .held
            .front()
            .is_some_and(|bury| self.has_room(&bury.letter))
        {
            if let Some(bury) = self.held.pop_front() {
                self.conclude(&bury);
                self.keep(bury.letter);
            }
        }
    }

    /// Tells the event's mailbox and the store that it is over.
    fn conclude(&self, bury: &Bury) {
        self.post
            .admission
            .settle(&bury.mailbox, bury.letter.request_id, || {
                Settlement::Buried(bury.letter.clone())
            });
        bury.mailbox.bury(bury.ticket, &bury.letter);
    }

    /// Answers whether there was one to drop.
    fn drop_oldest(&mut self) -> bool {
        let mut ids = self.letters.values().map(|letter| letter.request_id);
        let oldest = ids.find(|id| !self.sending.contains(id));
        let Some(oldest) = oldest.and_then(|id| self.remove(id)) else {
            return false;
        };
        self.count_dropped(&oldest, "the oldest letter was dropped");
        true
    }

    fn count_dropped(&self, letter: &DeadLetter, consequence: &str) {
        telemetry::dead_letters_full(letter.request_id, consequence);
        if let Some(mailbox) = self.post.admission.mailbox(letter.function.as_str()) {
            mailbox.meter(|meters| meters.dead_letter_errors += 1);
        }
    }

    fn publish(&mut self, letter: &DeadLetter) {
        self.subscribers.retain(|subscriber| {
            let wanted = subscriber
                .function
                .as_ref()
                .is_none_or(|name| name == letter.function.as_str());
            !wanted && !subscriber.letters.is_closed()
                || wanted && subscriber.letters.send(letter.clone()).is_ok()
        });
    }

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

    fn matching<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = &'a DeadLetter> {
        self.letters
            .values()
            .filter(|letter| filter.matches(letter))
    }
}

impl Actor for DeadLetterQueue {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Failures come in bursts; what is beyond this many waits at the senders.
        ctx.set_mailbox_capacity(1 << 16);
    }
}

impl Handler<Bury> for DeadLetterQueue {
    type Result = ();

    fn handle(&mut self, bury: Bury, _: &mut Self::Context) {
        self.publish(&bury.letter);
        if !self.has_room(&bury.letter) {
            match self.bounds.when_full {
                WhenFull::Hold => {
                    telemetry::dead_letters_full(
                        bury.letter.request_id,
                        "the event is held in its mailbox until there is room",
                    );
                    self.held.push_back(bury);
                    return;
                }
                WhenFull::DropNewest => {
                    self.count_dropped(&bury.letter, "the letter was dropped");
                    self.conclude(&bury);
                    return;
                }
                // While all others are being sent, there may be one too many.
                WhenFull::DropOldest => while !self.has_room(&bury.letter) && self.drop_oldest() {},
            }
        }
        self.conclude(&bury);
        self.keep(bury.letter);
    }
}

/// Which dead letters are meant; all of them unless something is said.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    function: Option<String>,
    condition: Option<Condition>,
    error_type: Option<String>,
    since: Option<SystemTime>,
    until: Option<SystemTime>,
}

impl Filter {
    /// All dead letters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of one function.
    pub fn function(mut self, name: impl Into<String>) -> Self {
        self.function = Some(name.into());
        self
    }

    /// Those with this condition.
    pub fn condition(mut self, condition: Condition) -> Self {
        self.condition = Some(condition);
        self
    }

    /// Those whose last failure is of this error type.
    pub fn error_type(mut self, error_type: impl Into<String>) -> Self {
        self.error_type = Some(error_type.into());
        self
    }

    /// Those that died at `time` or later.
    pub fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Those that died before `time`.
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }

    fn matches(&self, letter: &DeadLetter) -> bool {
        let error_type = || letter.failure().map(|failure| failure.error_type.as_str());
        self.function
            .as_ref()
            .is_none_or(|name| name == letter.function.as_str())
            && self
                .condition
                .is_none_or(|condition| condition == letter.condition)
            && self
                .error_type
                .as_ref()
                .is_none_or(|wanted| error_type() == Some(wanted))
            && self.since.is_none_or(|since| letter.died_at >= since)
            && self.until.is_none_or(|until| letter.died_at < until)
    }
}

/// Has every dead letter from now on sent to an actor, each once and in order.
///
/// The queue forwards at the subscriber's pace: a slow one slows nobody. One that is gone is dropped, with a log line.
/// Answers once the subscription holds.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Subscribe {
    recipient: Recipient<DeadLetter>,
    function: Option<String>,
}

impl Subscribe {
    /// All dead letters.
    pub fn new(recipient: Recipient<DeadLetter>) -> Self {
        Self {
            recipient,
            function: None,
        }
    }

    /// Only those of one function.
    pub fn function(mut self, name: impl Into<String>) -> Self {
        self.function = Some(name.into());
        self
    }
}

impl std::fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscribe")
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

impl Handler<Subscribe> for DeadLetterQueue {
    type Result = ();

    fn handle(&mut self, subscribe: Subscribe, _: &mut Self::Context) {
        let (sender, letters) = mpsc::unbounded_channel();
        self.subscriptions += 1;
        self.subscribers.push(Subscriber {
            function: subscribe.function,
            letters: sender,
        });
        actix_rt::spawn(forward(letters, subscribe.recipient, self.subscriptions));
    }
}

/// Hands letters on in order, no faster than the subscriber takes them.
async fn forward(
    mut letters: mpsc::UnboundedReceiver<DeadLetter>,
    recipient: Recipient<DeadLetter>,
    subscriber: u64,
) {
    while let Some(letter) = letters.recv().await {
        let sent = match recipient.try_send(letter) {
            Ok(()) => true,
            // Waiting for the answer is waiting for room.
            Err(SendError::Full(letter)) => recipient.send(letter).await.is_ok(),
            Err(SendError::Closed(_)) => false,
        };
        if !sent {
            telemetry::subscriber_gone(subscriber);
            return;
        }
    }
}

/// Asks for one dead letter by its event's request id. Answers `None` if it isn't in the queue, or isn't any more.
#[derive(Debug, Message)]
#[rtype(result = "Option<DeadLetter>")]
pub struct Get(pub RequestId);

impl Handler<Get> for DeadLetterQueue {
    type Result = Option<DeadLetter>;

    fn handle(&mut self, Get(id): Get, _: &mut Self::Context) -> Self::Result {
        self.get(id).cloned()
    }
}

/// Asks for a page of dead letters, oldest first. They stay in the queue.
#[derive(Debug, Message)]
#[rtype(result = "Page")]
pub struct List {
    filter: Filter,
    after: u64,
    limit: usize,
}

impl List {
    /// The first page, of 100 letters.
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            after: 0,
            limit: 100,
        }
    }

    /// The page that begins where another ended: its `next`.
    pub fn after(mut self, cursor: u64) -> Self {
        self.after = cursor;
        self
    }

    /// How many letters a page has at most; at least 1, so that each page gets further.
    pub fn limit(mut self, letters: usize) -> Self {
        self.limit = letters.max(1);
        self
    }
}

/// A page of dead letters.
#[derive(Clone, Debug, MessageResponse)]
#[non_exhaustive]
pub struct Page {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; none if this is the last.
    pub next: Option<u64>,
    /// How many letters the queue keeps in all.
    pub total: usize,
}

impl Handler<List> for DeadLetterQueue {
    type Result = Page;

    fn handle(&mut self, list: List, _: &mut Self::Context) -> Self::Result {
        let mut letters = Vec::new();
        let found = self
            .letters
            .range((Bound::Excluded(list.after), Bound::Unbounded))
            .filter(|(_, letter)| list.filter.matches(letter))
            .try_fold(list.after, |last, (&place, letter)| {
                if letters.len() >= list.limit {
                    return ControlFlow::Break(last);
                }
                letters.push(letter.clone());
                ControlFlow::Continue(place)
            });
        let next = match found {
            ControlFlow::Break(last) => Some(last),
            ControlFlow::Continue(_) => None,
        };
        Page {
            letters,
            next,
            total: self.letters.len(),
        }
    }
}

/// Forgets dead letters for good, except those that are being redriven at this moment. Answers how many. Events that were
/// held for want of room take their places.
#[derive(Debug, Message)]
#[rtype(result = "usize")]
pub struct Purge(pub Filter);

impl Handler<Purge> for DeadLetterQueue {
    type Result = usize;

    fn handle(&mut self, Purge(filter): Purge, _: &mut Self::Context) -> usize {
        let ids: Vec<_> = self
            .matching(&filter)
            .map(|letter| letter.request_id)
            .filter(|id| !self.sending.contains(id))
            .collect();
        ids.iter().for_each(|&id| drop(self.remove(id)));
        self.take_held();
        ids.len()
    }
}

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
    /// Letters that were refused, and why. They are still in the queue.
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
            return Box::pin(actix::fut::ready(None));
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
        options.trace_header.clone_from(&letter.trace_header);
        options.retry.clone_from(&letter.retry);
        options.event_age_max = letter.event_age_max;
    })
}

/// Takes everything out: the letters, those that are being sent included, and what is held for want of room.
#[derive(Message)]
#[rtype(result = "Vec<DeadLetter>")]
pub(crate) struct HandOver;

impl Handler<HandOver> for DeadLetterQueue {
    type Result = Vec<DeadLetter>;

    fn handle(&mut self, _: HandOver, _: &mut Self::Context) -> Self::Result {
        let letters = std::mem::take(&mut self.letters).into_values();
        letters
            .chain(self.held.drain(..).map(|bury| bury.letter))
            .collect()
    }
}
