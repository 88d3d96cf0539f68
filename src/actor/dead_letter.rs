//! The dead-letter queue: the actor that keeps what will not be tried again, and tells its subscribers.

mod letters;
mod redrive;
mod subscriber;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use crate::actor::message::Bury;
use crate::actor::post::Post;
use crate::admission::Admission;
use crate::event::RequestId;
use crate::failure::{DeadLetter, Failure};
use crate::store::Settlement;
use crate::telemetry;

pub use letters::{Filter, Get, List, Page, Purge};
pub use redrive::{Redrive, Redriven};
pub use subscriber::Subscribe;
use subscriber::{Offered, Subscriber};

/// How much the dead-letter queue keeps, and what it does when that is too much.
#[derive(Clone, Debug)]
pub struct DeadLetterBounds {
    pub(crate) letters_max: usize,
    pub(crate) bytes_max: u64,
    pub(crate) when_full: WhenFull,
    pub(crate) age_max: Option<Duration>,
}

impl DeadLetterBounds {
    /// At most so many letters with so many bytes of payloads and error texts, and what happens beyond.
    pub fn new(letters_max: usize, bytes_max: u64, when_full: WhenFull) -> Self {
        Self {
            letters_max,
            bytes_max,
            when_full,
            age_max: None,
        }
    }

    /// Letters are dropped so long after they died, which is logged and counted in `DeadLetterErrors`; never unless set.
    pub fn age_max(mut self, age: Duration) -> Self {
        self.age_max = Some(age);
        self
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
/// The letters are in memory: they go with the process, or into the report of the shutdown. Where events are stored, the
/// letters are too, and are here again at the next start.
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
    /// The letters are in the report of the shutdown. What comes later is among the unfinished.
    handed_over: bool,
    /// Burials since the others on the arbiter had a turn.
    buried_in_row: u32,
}

impl std::fmt::Debug for DeadLetterQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetterQueue")
            .field("letters", &self.letters.len())
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

/// What a letter takes beside its payload, its texts and what its caller said.
const LETTER_BYTES: u64 = 512;

fn size(letter: &DeadLetter) -> u64 {
    let failures = letter.attempts.iter().map(|attempt| &attempt.failure);
    let texts: usize = failures.map(Failure::text_len).sum();
    let origin = [&letter.trace_header, &letter.traceparent, &letter.qualifier];
    let said: usize = origin.into_iter().flatten().map(|text| text.len()).sum();
    LETTER_BYTES + (letter.payload.size() + texts + said) as u64
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
            handed_over: false,
            buried_in_row: 0,
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

    /// Drops a letter for good, in the store too.
    fn discard(&mut self, id: RequestId) -> Option<DeadLetter> {
        let letter = self.remove(id)?;
        if letter.stored {
            let admission = &self.post.admission;
            admission.settle_stored(None, id, Settlement::Forgotten);
        }
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
        self.post.admission.settle(&bury.mailbox, bury.ticket, || {
            Settlement::Buried(bury.letter.clone())
        });
        bury.mailbox.bury(bury.ticket, &bury.letter);
    }

    /// Answers whether there was one to drop.
    fn drop_oldest(&mut self) -> bool {
        let mut ids = self.letters.values().map(|letter| letter.request_id);
        let oldest = ids.find(|id| !self.sending.contains(id));
        let Some(oldest) = oldest.and_then(|id| self.discard(id)) else {
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

    /// In a burst of burials those that forward to subscribers have their turns too, and subscribers that take letters as
    /// fast as they can have a moment to: they miss nothing.
    fn let_others_go_on(&mut self, ctx: &mut Context<Self>) {
        self.buried_in_row += 1;
        if self.buried_in_row < BURIED_AT_ONCE {
            return;
        }
        self.buried_in_row = 0;
        let catching_up = self.subscribers.iter_mut().map(Subscriber::is_catching_up);
        if catching_up.fold(false, std::ops::BitOr::bitor) {
            ctx.wait(actix::fut::wrap_future(tokio::time::sleep(MOMENT)));
        } else {
            ctx.wait(actix::fut::wrap_future(tokio::task::yield_now()));
        }
    }

    fn publish(&mut self, letter: &DeadLetter) {
        let mut missed = 0;
        self.subscribers.retain_mut(|subscriber| {
            let offered = subscriber.offer(letter);
            missed += u64::from(offered == Offered::Missed);
            offered != Offered::Gone
        });
        let mailbox = || self.post.admission.mailbox(letter.function.as_str());
        if missed > 0
            && let Some(mailbox) = mailbox()
        {
            mailbox.meter(|meters| meters.dead_letter_errors += missed);
        }
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
        self.load(ctx);
        if let Some(age_max) = self.bounds.age_max {
            let often = (age_max / 10).clamp(Duration::from_millis(10), Duration::from_secs(60));
            ctx.run_interval(often, |queue, _| queue.expire());
        }
    }
}

/// Burials after which the others on the arbiter have a turn.
const BURIED_AT_ONCE: u32 = 64;
/// How long they wait then for subscribers that are behind.
const MOMENT: Duration = Duration::from_millis(1);

/// Letters that are read from the store at once.
const LOAD_MAX: usize = 1_000;

impl DeadLetterQueue {
    /// Takes in what the store keeps from earlier. Whatever else is asked waits until all of it is here.
    fn load(&mut self, ctx: &mut Context<Self>) {
        if self.post.admission.store.is_none() {
            return;
        }
        let admission = self.post.admission.clone();
        let load = async move {
            let (mut letters, mut after) = (Vec::new(), Some(0));
            while let Some(place) = after {
                let page = admission.letters(place, LOAD_MAX).await.unwrap_or_default();
                letters.extend(page.letters);
                after = page.next;
            }
            letters
        };
        let keep = |letters: Vec<DeadLetter>, queue: &mut Self, _: &mut Context<Self>| {
            letters
                .into_iter()
                .for_each(|letter| queue.keep(letter.traced()));
            queue.expire();
            while queue.bounds.when_full != WhenFull::Hold
                && queue.is_overfull()
                && queue.drop_oldest()
            {}
        };
        ctx.wait(load.into_actor(self).map(keep));
    }

    fn is_overfull(&self) -> bool {
        self.letters.len() > self.bounds.letters_max || self.bytes > self.bounds.bytes_max
    }

    /// Drops letters that are too old.
    fn expire(&mut self) {
        let Some(age_max) = self.bounds.age_max else {
            return;
        };
        let clock = &self.post.admission.clock;
        let now = clock.wall(clock.now());
        let old = |letter: &&DeadLetter| {
            now.duration_since(letter.died_at)
                .is_ok_and(|age| age > age_max)
        };
        let old: Vec<_> = self
            .letters
            .values()
            .take_while(old)
            .map(|letter| letter.request_id)
            .collect();
        for id in old {
            if !self.sending.contains(&id)
                && let Some(letter) = self.discard(id)
            {
                self.count_dropped(&letter, "the letter was too old and was dropped");
            }
        }
        self.take_held();
    }
}

impl Handler<Bury> for DeadLetterQueue {
    type Result = ();

    fn handle(&mut self, bury: Bury, ctx: &mut Self::Context) {
        if self.handed_over {
            return;
        }
        self.publish(&bury.letter);
        self.let_others_go_on(ctx);
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
                    if bury.letter.stored {
                        let (admission, id) = (&self.post.admission, bury.letter.request_id);
                        admission.settle_stored(None, id, Settlement::Forgotten);
                    }
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

/// Takes everything out: the letters, those that are being sent included, and what is held for want of room. Nothing is
/// buried afterwards.
#[derive(Message)]
#[rtype(result = "Vec<DeadLetter>")]
pub(crate) struct HandOver;

impl Handler<HandOver> for DeadLetterQueue {
    type Result = Vec<DeadLetter>;

    fn handle(&mut self, _: HandOver, _: &mut Self::Context) -> Self::Result {
        self.handed_over = true;
        let letters = std::mem::take(&mut self.letters).into_values();
        let held = self.held.drain(..).map(|bury| {
            // One that a store has is pending there.
            if !bury.letter.stored {
                bury.mailbox.bury(bury.ticket, &bury.letter);
            }
            bury.letter
        });
        letters.chain(held).collect()
    }
}
