//! Compares the store with the model: while it is open, after its end, and after a crash.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;

use super::fate::{GONE, dead, deathless, known, mark, pending};
use super::state::{After, FAR, FUNCTIONS, Story, World};
use crate::error::StoreError;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::store::disk::DiskStore;
use crate::store::disk::simulated::SimulatedFolder;
use crate::store::disk::tests::{ask, at, event, fetch, keep, kill, open};
use crate::store::{EventStore, KnownState};

impl World {
    pub(super) fn look(&mut self) {
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

    pub(super) fn list(&mut self) {
        let function = FUNCTIONS[self.rng.random_range(0..FUNCTIONS.len())];
        let letters = self.letters(self.store());
        if !self.is_well() {
            return;
        }
        let waiting = overflow(self.store(), function);
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
        assert_eq!(waiting, expected.collect::<BTreeSet<_>>());
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

    /// Ends the store, in order or by a kill, after it applied all calls; then opens it again.
    pub(in crate::store::disk::tests) fn restart(&mut self) {
        self.end();
        assert!(self.open());
    }

    pub(in crate::store::disk::tests) fn end(&mut self) {
        let store = self.store.take().unwrap();
        let in_order = self.rng.random_bool(0.5);
        self.files = if in_order {
            ask(|reply| store.close(reply)).unwrap();
            drop(store);
            self.files.killed()
        } else {
            kill(store, &self.files)
        };
        let ran = std::mem::take(&mut self.crash_marks);
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

    /// Returns the state of every event as a new store reads it, or the first error.
    pub(in crate::store::disk::tests) fn read(
        &self,
        left: &SimulatedFolder,
    ) -> Result<Vec<String>, StoreError> {
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

    /// Returns the number of pending events, and of dead letters.
    pub(in crate::store::disk::tests) fn counts(&self) -> (u64, u64) {
        let count = |like: fn(&&Story) -> bool| self.stories.values().filter(like).count() as u64;
        (
            count(|story| story.is_pending()),
            count(|story| story.letter.is_some()),
        )
    }

    /// Closes the store in order.
    pub(in crate::store::disk::tests) fn close(&mut self) {
        if let Some(store) = self.store.take() {
            ask(|reply| store.close(reply)).unwrap();
        }
        self.all_certain();
    }

    /// Drops the store as the death of the process would.
    pub(in crate::store::disk::tests) fn abandon(&mut self) {
        self.files.kill_at(1);
        self.store = None;
    }

    /// Opens the store on the remaining disk, and checks that it has every event that it must have and no other.
    pub(in crate::store::disk::tests) fn check(
        &self,
        left: &SimulatedFolder,
        after: After,
        hint: &str,
    ) {
        let store =
            open(left, &self.disk, self.now + 1).unwrap_or_else(|error| panic!("{hint}: {error}"));
        self.check_store(&store, after, hint);
        // It takes new events.
        keep(&store, event("more", "1", at(self.now)));
    }

    fn check_store(&self, store: &DiskStore, after: After, hint: &str) {
        let mut found = self.found(store, hint);
        for (mark, story) in &self.stories {
            let (id, fate) = found.remove(mark).unwrap_or_else(|| {
                let fate = known(ask(|reply| store.look(story.id, reply)).unwrap());
                (story.id, fate)
            });
            assert_eq!(id, story.id, "{hint}");
            self.check_story(*mark, story, &fate, after, hint);
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

    /// Returns the dead letters and the pending events of the store, with their states, by their marks.
    fn found(&self, store: &DiskStore, hint: &str) -> BTreeMap<u64, (RequestId, String)> {
        let mut found: BTreeMap<u64, (RequestId, String)> = BTreeMap::new();
        for letter in self.letters(store) {
            let mark = self.marks.get(&letter.0);
            let mark = *mark.unwrap_or_else(|| panic!("{hint}: a letter of an unknown event"));
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
        found
    }

    /// Checks that an event is in one of the states that the end of the store allows.
    fn check_story(&self, mark: u64, story: &Story, fate: &str, after: After, hint: &str) {
        let certain = match after {
            After::Rest => story.fates.len() - 1,
            After::Kill => story.certain.max(1),
            After::PowerCut => story.certain,
        };
        let unsure = self.unsure.contains(&mark) && fate == GONE;
        let same = |known: &String| match after {
            After::Rest => *known == fate,
            // A crash may or may not have hit a running attempt: deaths don't count here.
            _ => deathless(known) == deathless(fate),
        };
        assert!(
            story.fates[certain..].iter().any(same) || unsure,
            "{hint}: event {mark} {} is\n  {fate}\nand not one of\n  {}",
            story.id,
            story.fates[certain..].join("\n  ")
        );
    }
}

/// Returns the events in a function's overflow.
fn overflow(store: &DiskStore, function: &str) -> BTreeSet<RequestId> {
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
