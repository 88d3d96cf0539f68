//! A store, what was asked of it at random, and what it must remember of that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{append, ask, at, due, event, fetch, filler, open};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::attempt::{Attempt, remember};
use crate::event::dead_letter::{Condition, DeadLetter, Letter};
use crate::event::failure::{Failure, FailureKind};
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::event::retry_policy::RetryPolicy;
use crate::event::{Deduplicate, Durability};
use crate::store::disk::simulated::SimulatedFolder;
use crate::store::disk::{Disk, DiskStore};
use crate::store::{
    Appended, CRASH_MARK_EVENTS_MAX, EventStore, Health, Known, KnownState, Reply, Retained,
    Settled, Settlement, StoredEvent,
};

pub(super) const FUNCTIONS: [&str; 3] = ["charge", "resize", "mail"];
pub(super) const FAR: u64 = 1 << 32;
const GONE: &str = "gone";

pub(super) struct World {
    pub(super) files: SimulatedFolder,
    disk: Disk,
    store: Option<DiskStore>,
    rng: SmallRng,
    now: u64,
    next: u64,
    /// What became of every event that was kept, by its mark.
    pub(super) stories: BTreeMap<u64, Story>,
    marks: HashMap<RequestId, u64>,
    keys: HashMap<(FunctionName, Arc<str>), (RequestId, SystemTime)>,
    lanes: BTreeMap<u32, Vec<RequestId>>,
    /// What the store said it doesn't keep.
    pub(super) refused: BTreeMap<u64, StoreErrorKind>,
    /// Batches that the process died over.
    unanswered: Vec<BTreeMap<u64, String>>,
    /// Dead letters whose redrive it died over.
    unsure: BTreeSet<u64>,
}

#[derive(Clone)]
pub(super) struct Story {
    pub(super) id: RequestId,
    event: StoredEvent,
    letter: Option<DeadLetter>,
    /// The runtime has it.
    held: bool,
    /// What it was, one after the other.
    fates: Vec<String>,
    /// What it was when everything was durable the last time.
    certain: usize,
}

impl Story {
    fn is_pending(&self) -> bool {
        self.fate().starts_with("pending")
    }

    fn fate(&self) -> &str {
        &self.fates[self.fates.len() - 1]
    }
}

/// What a test may hold against the store that was opened again.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum After {
    /// Everything was told and answered.
    Rest,
    Kill,
    PowerCut,
}

impl World {
    pub(super) fn new(seed: u64, disk: Disk) -> Self {
        Self {
            files: SimulatedFolder::new(seed),
            disk,
            store: None,
            rng: SmallRng::seed_from_u64(seed),
            now: 0,
            next: 0,
            stories: BTreeMap::new(),
            marks: HashMap::new(),
            keys: HashMap::new(),
            lanes: BTreeMap::new(),
            refused: BTreeMap::new(),
            unanswered: Vec::new(),
            unsure: BTreeSet::new(),
        }
    }

    /// The same world with a disk of its own, and its store opened: it goes on in the same way.
    pub(super) fn fork(&self) -> Self {
        let mut world = Self {
            files: self.files.killed(),
            disk: self.disk.clone(),
            store: None,
            rng: self.rng.clone(),
            now: self.now,
            next: self.next,
            stories: self.stories.clone(),
            marks: self.marks.clone(),
            keys: self.keys.clone(),
            lanes: self.lanes.clone(),
            refused: self.refused.clone(),
            unanswered: self.unanswered.clone(),
            unsure: self.unsure.clone(),
        };
        assert!(world.open());
        world
    }

    pub(super) fn store(&self) -> &DiskStore {
        self.store.as_ref().unwrap()
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Opens the store. False if the process died over it.
    pub(super) fn open(&mut self) -> bool {
        match open(&self.files, &self.disk, self.now) {
            Ok(store) => {
                for function in FUNCTIONS {
                    store.open(&FunctionName::new(function), RETAINED);
                }
                super::forgetful(&store, "fill");
                self.store = Some(store);
                true
            }
            Err(error) => {
                assert!(self.files.is_dead(), "{error}");
                false
            }
        }
    }

    /// Asks, and asks again if the store had no room at first.
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&DiskStore, Reply<T>),
    ) -> Result<T, StoreError> {
        let (sender, answer) = std::sync::mpsc::channel();
        question(
            self.store(),
            Reply::new(move |said| drop(sender.send(said))),
        );
        (0..3)
            .find_map(|_| {
                let said = answer.try_recv().ok();
                if said.is_none() {
                    self.poke();
                }
                said
            })
            .unwrap_or_else(|| panic!("no answer"))
    }

    /// Nothing is to be expected of it any more.
    fn is_off(&self) -> bool {
        self.files.is_dead() || matches!(self.store().health(), Health::Failed(_))
    }

    /// It says what it was told; without room, what it was told before that.
    fn is_well(&self) -> bool {
        !self.files.is_dead() && self.store().health() == Health::Well
    }

    /// Has the store do what it was told.
    pub(super) fn poke(&self) {
        let nobody = RequestId::from(uuid::Uuid::nil());
        let _ = ask(|reply| self.store().look(nobody, reply));
    }

    pub(super) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.files.is_dead() {
                return;
            }
            self.step();
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..120) {
            0..32 => self.append(),
            32..62 => self.settle(),
            62..70 => self.spill(),
            70..78 => self.fetch(),
            78..82 => self.fetch_one(),
            82..86 => self.look(),
            86..88 => self.list(),
            88..94 => self.begin(),
            94..114 => self.litter(),
            _ => self.now += self.rng.random_range(1..200),
        }
    }

    /// An event that is soon forgotten: what it leaves makes the store tidy up, and move what is needed.
    fn litter(&mut self) {
        if let Ok(appended) = append(self.store(), vec![filler(1_000)])
            && let [Appended::Kept(id)] = appended[..]
        {
            let _ = super::settle_success(self.store(), id); // one that stays is no harm
        }
    }

    // --- events

    fn append(&mut self) {
        let count = [1, 1, 1, 2, 5][self.rng.random_range(0..5)];
        let events: Vec<_> = (0..count).map(|_| self.make()).collect();
        // One batch redrives a letter at most once.
        let mut redriven = BTreeSet::new();
        let events: Vec<_> = events
            .into_iter()
            .map(|mut event| {
                event.redriven_from = event.redriven_from.filter(|&id| redriven.insert(id));
                event
            })
            .collect();
        self.give(events);
    }

    /// Appends `events` and remembers what the store must.
    pub(super) fn give(&mut self, events: Vec<StoredEvent>) {
        let answer = append(self.store(), events.clone());
        if self.files.is_dead() {
            return self.lost(&events);
        }
        let appended = match answer {
            Ok(appended) => appended,
            Err(error) => {
                for event in &events {
                    self.refused.insert(mark(&event.payload), error.kind());
                }
                return;
            }
        };
        assert_eq!(appended.len(), events.len());
        for (event, appended) in events.into_iter().zip(appended) {
            self.appended(event, appended);
        }
    }

    fn appended(&mut self, mut event: StoredEvent, appended: Appended) {
        let key = event
            .deduplicate
            .as_ref()
            .map(|key| (event.function.clone(), key.key.clone()));
        let holder = key.as_ref().and_then(|key| self.keys.get(key));
        let holder = holder.filter(|(_, until)| *until > event.accepted_at);
        let id = match appended {
            Appended::Duplicate(first) => {
                assert_eq!(holder.map(|(id, _)| *id), Some(first));
                return;
            }
            Appended::Kept(id) => id,
            Appended::KeysFull => panic!("there is no bound on keys"),
        };
        assert!(holder.is_none(), "the key is taken");
        assert!(!event.id_is_chosen || id == event.request_id);
        event.request_id = id;
        if let (Some(key), Some(deduplicate)) = (key, &event.deduplicate) {
            let until = event.accepted_at + deduplicate.window;
            self.keys.insert(key, (id, until));
        }
        if let Some(letter) = event.redriven_from {
            let letter = self.marks[&letter];
            self.becomes(letter, GONE.to_owned());
        }
        let mark = mark(&event.payload);
        let synced = event.durability == Durability::Disk;
        let story = Story {
            id,
            letter: None,
            held: true,
            fates: vec![GONE.to_owned(), pending(&event)],
            certain: 0,
            event,
        };
        assert!(self.stories.insert(mark, story).is_none());
        assert!(self.marks.insert(id, mark).is_none(), "{id} is given twice");
        if synced {
            self.all_certain();
        }
    }

    /// The process died before it answered: all of it is there, or none.
    fn lost(&mut self, events: &[StoredEvent]) {
        let keyed = |event: &&StoredEvent| event.deduplicate.is_none();
        let batch = events
            .iter()
            .filter(keyed)
            .map(|event| (mark(&event.payload), pending(event)));
        self.unanswered.push(batch.collect());
        for id in events.iter().filter_map(|event| event.redriven_from) {
            self.unsure.insert(self.marks[&id]);
        }
        for event in events.iter().filter(|event| event.deduplicate.is_some()) {
            let alone = [(mark(&event.payload), pending(event))];
            self.unanswered.push(alone.into_iter().collect());
        }
    }

    /// An event like no other.
    fn make(&mut self) -> StoredEvent {
        self.next += 1;
        let rng = &mut self.rng;
        let length = match rng.random_range(0..20) {
            0 => rng.random_range(1_000..4_000),
            _ => rng.random_range(0..200),
        };
        let filling: String = (0..length)
            .map(|_| char::from(rng.random_range(b'a'..=b'z')))
            .collect();
        let payload = format!(r#"{{"mark":{},"filling":"{filling}"}}"#, self.next);
        let function = FUNCTIONS[rng.random_range(0..FUNCTIONS.len())];
        let mut event = event(function, &payload, at(self.now));
        if rng.random_bool(0.3) {
            event.due_at += Duration::from_secs(rng.random_range(1..1_000));
            event.first_due_at = event.due_at;
            let wall = at(rng.random_range(0..1_000));
            event.not_before = rng.random_bool(0.5).then_some(wall);
        }
        if rng.random_bool(0.2) {
            let key = format!("key {}", rng.random_range(0..4)).into();
            let window = Duration::from_secs(rng.random_range(1..2_000));
            event.deduplicate = Some(Deduplicate { key, window });
        }
        if rng.random_bool(0.1) {
            event.id_is_chosen = true;
            let id = uuid::Builder::from_random_bytes(rng.random()).into_uuid();
            event.request_id = RequestId::from(id);
        }
        if rng.random_bool(0.2) {
            event.trace_header = Some(format!("Root=1-{:x}", rng.random::<u32>()).into());
            event.traceparent = Some(format!("00-{:x}", rng.random::<u32>()).into());
            event.qualifier = Some(format!("alias{}", rng.random::<u8>()).into());
            event.version = Some(rng.random::<u8>().to_string().into());
            event.hops = rng.random_range(0..16);
            event.retry = Some(RetryPolicy::fixed(rng.random_range(0..9), Duration::ZERO));
            event.event_age_max = Some(Duration::from_secs(rng.random_range(0..9_999)));
        }
        if rng.random_bool(0.1) {
            event.durability = Durability::DiskInterval(Duration::from_secs(1));
        }
        if rng.random_bool(0.5) {
            let dead = self.any(|story| story.letter.is_some());
            event.redriven_from = dead.map(|mark| self.stories[&mark].id);
        }
        event
    }

    fn any(&mut self, like: impl Fn(&Story) -> bool) -> Option<u64> {
        let found = self.stories.iter().filter(|(_, story)| like(story));
        let found: Vec<_> = found.map(|(&mark, _)| mark).collect();
        (!found.is_empty()).then(|| found[self.rng.random_range(0..found.len())])
    }

    fn becomes(&mut self, mark: u64, fate: String) {
        let Some(story) = self.stories.get_mut(&mark) else {
            return;
        };
        if !fate.starts_with("dead") {
            story.letter = None;
        }
        story.fates.push(fate);
    }

    /// The store has made durable all that it was told.
    pub(super) fn all_certain(&mut self) {
        for story in self.stories.values_mut() {
            story.certain = story.fates.len() - 1;
        }
    }

    // --- what becomes of them

    fn settle(&mut self) {
        let now = at(self.now);
        if self.rng.random_bool(0.1)
            && let Some(mark) = self.any(|story| story.letter.is_some())
        {
            let id = self.stories[&mark].id;
            self.tell(id, Settlement::Forgotten);
            return self.becomes(mark, GONE.to_owned());
        }
        let Some(mark) = self.any(|story| story.held && story.is_pending()) else {
            return;
        };
        let chance = self.rng.random_range(0..10);
        let noise = format!("{:x}", self.rng.random::<u64>());
        let Some(story) = self.stories.get_mut(&mark) else {
            return;
        };
        let event = &mut story.event;
        let attempt = Attempt {
            number: event.attempt_count + 1,
            started_at: now,
            duration: Duration::from_millis(chance),
            failure: Failure::new(FailureKind::Error, "Noise", noise.clone()),
        };
        let settlement = match chance {
            0..4 => Settlement::Succeeded {
                result: (chance > 0).then(|| Payload::new(noise).unwrap()),
                attempt: event.attempt_count + 1,
                accepted_at: event.accepted_at,
            },
            4..7 => {
                event.attempt_count += 1;
                event.uncounted += u32::from(chance == 6);
                event.due_at = now + Duration::from_secs(chance * 10);
                remember(&mut event.attempts, attempt.clone());
                Settlement::Rescheduled {
                    attempt: Box::new(attempt),
                    uncounted: event.uncounted,
                    due_at: event.due_at,
                }
            }
            7..9 => {
                if chance == 8 {
                    event.attempt_count += 1;
                    remember(&mut event.attempts, attempt);
                }
                let letter = letter(event, now);
                story.letter = Some(letter.clone());
                Settlement::Buried(letter)
            }
            _ => Settlement::Cancelled {
                accepted_at: event.accepted_at,
            },
        };
        let (id, fate) = (story.id, fate(event, &settlement));
        if !matches!(settlement, Settlement::Rescheduled { .. }) {
            story.held = false;
        }
        self.tell(id, settlement);
        self.becomes(mark, fate);
    }

    fn tell(&self, id: RequestId, settlement: Settlement) {
        let told = self
            .store()
            .settle(Settled::new(id, at(self.now), settlement));
        if let Err(error) = told {
            assert!(error.kind() == StoreErrorKind::Failed, "{error}");
        }
    }

    fn spill(&mut self) {
        let Some(mark) = self.any(|story| story.held && story.is_pending()) else {
            return;
        };
        self.stories
            .entry(mark)
            .and_modify(|story| story.held = false);
        let story = &self.stories[&mark];
        self.store().spill(story.id, story.event.due_at);
    }

    fn fetch(&mut self) {
        let function = FUNCTIONS[self.rng.random_range(0..FUNCTIONS.len())];
        let until = at(self.now);
        let Ok(fetched) = self.ask(|store, reply| store.fetch(due(function, until), reply)) else {
            return;
        };
        if self.is_off() {
            return;
        }
        assert!(fetched.unreadable.is_empty(), "{:?}", fetched.unreadable);
        let is_due = |story: &&mut Story| {
            story.event.function.as_str() == function
                && story.is_pending()
                && !story.held
                && story.event.due_at <= until
        };
        let waiting = self.stories.values_mut().filter(is_due);
        let expected: BTreeMap<_, _> = waiting
            .map(|story| {
                story.held = true;
                (story.id, pending(&story.event))
            })
            .collect();
        let found = fetched.events.iter();
        let found: BTreeMap<_, _> = found
            .map(|event| (event.request_id, pending(event)))
            .collect();
        assert_eq!(found, expected);
    }

    fn fetch_one(&mut self) {
        let Some(mark) = self.any(Story::is_pending) else {
            return;
        };
        let id = self.stories[&mark].id;
        let Ok(found) = self.ask(|store, reply| store.fetch_one(id, reply)) else {
            return;
        };
        let Some(story) = self.stories.get_mut(&mark) else {
            return;
        };
        let expected = (!story.held).then(|| pending(&story.event));
        assert_eq!(found.as_ref().map(pending), expected);
        story.held = true;
    }

    fn begin(&mut self) {
        let lane = self.rng.random_range(0..4);
        let running: BTreeSet<_> = self.lanes.values().flatten().copied().collect();
        let idle = |story: &Story| story.held && story.is_pending() && !running.contains(&story.id);
        let mut events: Vec<_> = (0..CRASH_MARK_EVENTS_MAX)
            .filter_map(|_| self.any(idle).map(|mark| self.stories[&mark].id))
            .collect();
        events.truncate(self.rng.random_range(0..=CRASH_MARK_EVENTS_MAX));
        let _ = self.store().begin(lane, &events); // it takes place all the same
        self.lanes.insert(lane, events);
    }

    // --- what is known

    fn look(&mut self) {
        let Some(mark) = self.any(|_| true) else {
            return;
        };
        let story = &self.stories[&mark];
        let found = ask(|reply| self.store().look(story.id, reply));
        if !self.is_well() {
            return;
        }
        let found = found.unwrap();
        if story.is_pending() {
            let state = found.map(|known| format!("{:?}", known.state));
            let expected = KnownState::Pending {
                due_at: story.event.due_at,
                attempts: story.event.attempt_count,
                attempt: story.event.attempts.last().cloned(),
            };
            assert_eq!(state, Some(format!("{expected:?}")));
        } else {
            assert_eq!(known(found), story.fate());
        }
    }

    fn list(&mut self) {
        let function = FUNCTIONS[self.rng.random_range(0..FUNCTIONS.len())];
        let letters = self.letters(self.store());
        if !self.is_well() {
            return;
        }
        let parked = parked(self.store(), function);
        if !self.is_well() {
            return;
        }
        let dead = self.stories.values().filter(|story| story.letter.is_some());
        let expected: BTreeMap<_, _> = dead
            .map(|story| (story.id, story.fate().to_owned()))
            .collect();
        assert_eq!(letters, expected);
        let waits = |story: &&Story| {
            story.is_pending() && !story.held && story.event.function.as_str() == function
        };
        let expected = self.stories.values().filter(waits).map(|story| story.id);
        assert_eq!(parked, expected.collect::<BTreeSet<_>>());
    }

    fn letters(&self, store: &DiskStore) -> BTreeMap<RequestId, String> {
        let (mut after, mut all) = (0, BTreeMap::new());
        loop {
            let Ok(page) = ask(|reply| store.letters(after, 7, reply)) else {
                assert!(!self.is_well());
                return all;
            };
            for letter in &page.letters {
                let again = all.insert(letter.request_id, dead(letter));
                assert!(again.is_none(), "a letter is listed twice");
            }
            match page.next {
                Some(next) => after = next,
                None => return all,
            }
        }
    }

    // --- the end of the process, and the next one

    /// Ends the store, in order or not; all that was told is done.
    pub(super) fn restart(&mut self) {
        self.end();
        assert!(self.open());
    }

    pub(super) fn end(&mut self) {
        let store = self.store.take().unwrap();
        let in_order = self.rng.random_bool(0.5);
        self.files = if in_order {
            ask(|reply| store.close(reply)).unwrap();
            drop(store);
            self.files.killed()
        } else {
            super::kill(store, &self.files)
        };
        let ran = std::mem::take(&mut self.lanes);
        let ran: BTreeSet<_> = ran.into_values().flatten().collect();
        for id in ran.into_iter().filter(|_| !in_order) {
            let mark = self.marks[&id];
            let died = self.stories.get_mut(&mark);
            if let Some(story) = died.filter(|story| story.is_pending()) {
                story.event.deaths += 1;
                let fate = pending(&story.event);
                story.fates.push(fate);
            }
        }
        self.stories
            .values_mut()
            .for_each(|story| story.held = false);
        self.all_certain();
        self.now += self.rng.random_range(0..500);
    }

    /// What the store says of every event, in the order of their marks, or why it can't.
    pub(super) fn read(&self, left: &SimulatedFolder) -> Result<Vec<String>, StoreError> {
        let store = open(left, &self.disk, self.now + 1)?;
        let mut all = Vec::new();
        for function in FUNCTIONS {
            let fetched = fetch(&store, function, at(FAR))?;
            if let Some((_, error)) = fetched.unreadable.into_iter().next() {
                return Err(error);
            }
            all.extend(fetched.events.iter().map(pending));
        }
        for story in self.stories.values().filter(|story| !story.is_pending()) {
            all.push(known(ask(|reply| store.look(story.id, reply))?));
        }
        Ok(all)
    }

    /// Events that wait, and dead letters.
    pub(super) fn counts(&self) -> (u64, u64) {
        let count = |like: fn(&&Story) -> bool| self.stories.values().filter(like).count() as u64;
        (
            count(|story| story.is_pending()),
            count(|story| story.letter.is_some()),
        )
    }

    /// Closes the store in order.
    pub(super) fn close(&mut self) {
        if let Some(store) = self.store.take() {
            ask(|reply| store.close(reply)).unwrap();
        }
        self.all_certain();
    }

    /// Drops the store as the death of the process would.
    pub(super) fn abandon(&mut self) {
        self.files.kill_at(1);
        self.store = None;
    }

    /// Opens what is left and checks that all is there that must be, and nothing else.
    pub(super) fn check(&self, left: &SimulatedFolder, after: After, hint: &str) {
        let store =
            open(left, &self.disk, self.now + 1).unwrap_or_else(|error| panic!("{hint}: {error}"));
        self.check_store(&store, after, hint);
        // And it goes on.
        super::keep(&store, event("more", "1", at(self.now)));
    }

    fn check_store(&self, store: &DiskStore, after: After, hint: &str) {
        let mut found: BTreeMap<u64, (RequestId, String)> = BTreeMap::new();
        for letter in self.letters(store) {
            let mark = self.marks.get(&letter.0);
            let mark = *mark.unwrap_or_else(|| panic!("{hint}: a letter of nobody's"));
            found.insert(mark, letter);
        }
        for function in FUNCTIONS {
            let fetched = fetch(store, function, at(FAR)).unwrap();
            assert!(fetched.unreadable.is_empty(), "{hint}: {fetched:?}");
            for event in fetched.events {
                let one = (event.request_id, pending(&event));
                let again = found.insert(mark(&event.payload), one);
                assert!(
                    again.is_none(),
                    "{hint}: an event is there twice: {again:?}"
                );
            }
        }
        for (mark, story) in &self.stories {
            let (id, fate) = found.remove(mark).unwrap_or_else(|| {
                let fate = known(ask(|reply| store.look(story.id, reply)).unwrap());
                (story.id, fate)
            });
            assert_eq!(id, story.id, "{hint}");
            let certain = match after {
                After::Rest => story.fates.len() - 1,
                After::Kill => story.certain.max(1),
                After::PowerCut => story.certain,
            };
            let unsure = self.unsure.contains(mark) && fate == GONE;
            let same = |known: &String| match after {
                After::Rest => *known == fate,
                // Who was running then, and so died, is another question.
                _ => deathless(known) == deathless(&fate),
            };
            assert!(
                story.fates[certain..].iter().any(same) || unsure,
                "{hint}: event {mark} {id} is\n  {fate}\nand not one of\n  {}",
                story.fates[certain..].join("\n  ")
            );
        }
        for batch in &self.unanswered {
            let there = batch.keys().filter(|mark| found.contains_key(mark)).count();
            assert!(there == 0 || there == batch.len(), "{hint}: half a batch");
            for (mark, fate) in batch {
                if let Some((_, found)) = found.remove(mark) {
                    assert_eq!(&found, fate, "{hint}");
                }
            }
        }
        let more: Vec<_> = found.keys().collect();
        assert!(
            more.is_empty(),
            "{hint}: {more:?} came back, refused are {:?}",
            self.refused
        );
    }
}

/// More than any test finishes.
pub(super) const RETAINED: Retained = Retained {
    events_max: 100_000,
    bytes_max: 1 << 30,
    age_max: Duration::MAX,
    keys_max: u32::MAX,
};

// --- what an event is, as text

pub(super) fn mark(payload: &Payload) -> u64 {
    #[derive(serde::Deserialize)]
    struct Marked {
        mark: u64,
    }
    payload.read::<Marked>().unwrap().mark
}

fn deathless(fate: &str) -> &str {
    match fate.rsplit_once(' ') {
        Some((event, _)) if fate.starts_with("pending") => event,
        _ => fate,
    }
}

fn nanos(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos()
}

fn pending(event: &StoredEvent) -> String {
    format!(
        "pending {} {} {} {} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {} {}",
        event.function.as_str(),
        event.payload.json().unwrap(),
        nanos(event.accepted_at),
        nanos(event.due_at),
        event.hops,
        (&event.trace_header, &event.traceparent),
        (&event.qualifier, &event.version),
        event.redriven_from,
        event.retry,
        (event.event_age_max, event.first_due_at, event.not_before),
        event.deduplicate,
        event.attempts,
        event.attempt_count,
        event.uncounted,
        event.deaths,
    )
}

fn letter(event: &StoredEvent, now: SystemTime) -> DeadLetter {
    DeadLetter::new(Letter {
        request_id: event.request_id,
        function: event.function.clone(),
        payload: event.payload.clone(),
        condition: Condition::RetriesExhausted,
        attempts: event.attempts.clone(),
        attempt_count: event.attempt_count,
        accepted_at: event.accepted_at,
        died_at: now,
        meta: event.meta.clone(),
        stored: true,
    })
}

fn dead(letter: &DeadLetter) -> String {
    format!(
        "dead {} {} {:?} {:?} {} {} {} {:?} {:?} {} {:?} {:?} {:?}",
        letter.function.as_str(),
        letter.payload.json().unwrap(),
        letter.condition,
        letter.attempts,
        letter.attempt_count,
        nanos(letter.accepted_at),
        nanos(letter.died_at),
        (&letter.trace_header, &letter.traceparent),
        (&letter.qualifier, &letter.version),
        letter.hops,
        letter.redriven_from,
        letter.retry,
        letter.event_age_max,
    )
}

fn ended(accepted_at: SystemTime, result: Option<&Payload>, attempt: u32) -> String {
    let result = result.cloned().unwrap_or_else(Payload::null);
    let result = result.json().unwrap();
    format!("succeeded {} {result} {attempt}", nanos(accepted_at))
}

fn cancelled(accepted_at: SystemTime) -> String {
    format!("cancelled {}", nanos(accepted_at))
}

fn fate(event: &StoredEvent, settlement: &Settlement) -> String {
    match settlement {
        Settlement::Succeeded {
            result,
            attempt,
            accepted_at,
        } => ended(*accepted_at, result.as_ref(), *attempt),
        Settlement::Rescheduled { .. } => pending(event),
        Settlement::Buried(letter) => dead(letter),
        Settlement::Cancelled { accepted_at } => cancelled(*accepted_at),
        Settlement::Forgotten => GONE.to_owned(),
    }
}

fn known(found: Option<Known>) -> String {
    let Some(known) = found else {
        return GONE.to_owned();
    };
    match known.state {
        KnownState::Pending { .. } => "pending, and nobody is given it".to_owned(),
        KnownState::Succeeded { result, attempt } => {
            ended(known.accepted_at, Some(&result), attempt)
        }
        KnownState::Dead(letter) => dead(&letter),
        KnownState::Cancelled => cancelled(known.accepted_at),
    }
}

fn parked(store: &DiskStore, function: &str) -> BTreeSet<RequestId> {
    let (mut after, mut all) = (0, BTreeSet::new());
    loop {
        let page = ask(|reply| store.overflow(&FunctionName::new(function), after, 7, reply));
        let Ok(page) = page else { return all };
        all.extend(page.events.iter().map(|known| known.request_id));
        match page.next {
            Some(next) => after = next,
            None => return all,
        }
    }
}
