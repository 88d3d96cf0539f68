//! A random call to the store, and its effect on the model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use rand::Rng;
use rand::rngs::SmallRng;

use super::fate::{GONE, fate, letter, mark, pending};
use super::state::{FUNCTIONS, Story, World};
use crate::error::StoreErrorKind;
use crate::event::attempt::{Attempt, remember};
use crate::event::failure::{Failure, FailureKind};
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::event::retry_policy::RetryPolicy;
use crate::event::{Deduplicate, Durability};
use crate::store::disk::tests::{append, at, due, event, filler, settle_success};
use crate::store::{Appended, CRASH_MARK_EVENTS_MAX, EventStore, Settled, Settlement, StoredEvent};

impl World {
    pub(in crate::store::disk::tests) fn run(&mut self, steps: usize) {
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

    /// Appends an event that is soon forgotten: its dead records make the store compact its log.
    fn litter(&mut self) {
        if let Ok(appended) = append(self.store(), vec![filler(1_000)])
            && let [Appended::Kept(id)] = appended[..]
        {
            let _ = settle_success(self.store(), id); // one that stays does no harm
        }
    }

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

    /// Appends `events` to the store and to the model.
    pub(in crate::store::disk::tests) fn give(&mut self, events: Vec<StoredEvent>) {
        let reply = append(self.store(), events.clone());
        if self.files.is_dead() {
            return self.lost(&events);
        }
        let appended = match reply {
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

    /// Notes a batch during which the process died, before the reply: all of it must be there, or nothing.
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

    /// Returns a random event with a new mark.
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
            set_rare_fields(&mut event, rng);
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

    fn settle(&mut self) {
        let now = at(self.now);
        if self.rng.random_bool(0.1)
            && let Some(mark) = self.any(|story| story.letter.is_some())
        {
            let id = self.stories[&mark].id;
            self.record(id, Settlement::Forgotten);
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
        let settlement = settlement(story, now, chance, noise);
        let (id, fate) = (story.id, fate(&story.event, &settlement));
        if !matches!(settlement, Settlement::Rescheduled { .. }) {
            story.held = false;
        }
        self.record(id, settlement);
        self.becomes(mark, fate);
    }

    /// Settles an event. Only a store that failed may refuse that.
    fn record(&self, id: RequestId, settlement: Settlement) {
        let recorded = self
            .store()
            .settle(Settled::new(id, at(self.now), settlement));
        if let Err(error) = recorded {
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
        let crash_mark = self.rng.random_range(0..4);
        let running: BTreeSet<_> = self.crash_marks.values().flatten().copied().collect();
        let idle = |story: &Story| story.held && story.is_pending() && !running.contains(&story.id);
        let mut events: Vec<_> = (0..CRASH_MARK_EVENTS_MAX)
            .filter_map(|_| self.any(idle).map(|mark| self.stories[&mark].id))
            .collect();
        events.truncate(self.rng.random_range(0..=CRASH_MARK_EVENTS_MAX));
        let _ = self.store().begin(crash_mark, &events); // the attempt takes place without its mark
        self.crash_marks.insert(crash_mark, events);
    }
}

/// Settles an event in the model, in the way of `chance` (0 to 9). Returns the settlement.
fn settlement(story: &mut Story, now: SystemTime, chance: u64, noise: String) -> Settlement {
    let event = &mut story.event;
    let attempt = Attempt {
        number: event.attempt_count + 1,
        started_at: now,
        duration: Duration::from_millis(chance),
        failure: Failure::new(FailureKind::Error, "Noise", noise.clone()),
    };
    match chance {
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
    }
}

/// Sets the fields that few events have.
fn set_rare_fields(event: &mut StoredEvent, rng: &mut SmallRng) {
    event.trace_header = Some(format!("Root=1-{:x}", rng.random::<u32>()).into());
    event.traceparent = Some(format!("00-{:x}", rng.random::<u32>()).into());
    event.qualifier = Some(format!("alias{}", rng.random::<u8>()).into());
    event.version = Some(rng.random::<u8>().to_string().into());
    event.hops = rng.random_range(0..16);
    event.retry = Some(RetryPolicy::fixed(rng.random_range(0..9), Duration::ZERO));
    event.event_age_max = Some(Duration::from_secs(rng.random_range(0..9_999)));
}
