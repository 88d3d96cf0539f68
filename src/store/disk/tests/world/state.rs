//! The model: the story of each event, and the store and the disk that it is compared with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::error::{StoreError, StoreErrorKind};
use crate::event::dead_letter::DeadLetter;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::store::disk::simulated::SimulatedFolder;
use crate::store::disk::tests::{ask, forgetful, open};
use crate::store::disk::{Disk, DiskStore};
use crate::store::{EventStore, Health, Reply, Retained, StoredEvent};

pub(in crate::store::disk::tests) const FUNCTIONS: [&str; 3] = ["charge", "resize", "mail"];
pub(in crate::store::disk::tests) const FAR: u64 = 1 << 32;
pub(in crate::store::disk::tests) struct World {
    pub(in crate::store::disk::tests) files: SimulatedFolder,
    pub(super) disk: Disk,
    pub(super) store: Option<DiskStore>,
    pub(super) rng: SmallRng,
    pub(super) now: u64,
    pub(super) next: u64,
    /// The story of every event that the store accepted, by its mark.
    pub(in crate::store::disk::tests) stories: BTreeMap<u64, Story>,
    pub(super) marks: HashMap<RequestId, u64>,
    pub(super) keys: HashMap<(FunctionName, Arc<str>), (RequestId, SystemTime)>,
    pub(super) crash_marks: BTreeMap<u32, Vec<RequestId>>,
    /// The events that the store refused, by their marks.
    pub(in crate::store::disk::tests) refused: BTreeMap<u64, StoreErrorKind>,
    /// Batches during which the process died, before the reply.
    pub(super) unanswered: Vec<BTreeMap<u64, String>>,
    /// Dead letters during whose redrive the process died.
    pub(super) unsure: BTreeSet<u64>,
}

#[derive(Clone)]
pub(in crate::store::disk::tests) struct Story {
    pub(in crate::store::disk::tests) id: RequestId,
    pub(super) event: StoredEvent,
    pub(super) letter: Option<DeadLetter>,
    /// The runtime holds it.
    pub(super) held: bool,
    /// Its states, one after the other.
    pub(super) fates: Vec<String>,
    /// The state that was durable the last time that everything was.
    pub(super) certain: usize,
}

impl Story {
    pub(super) fn is_pending(&self) -> bool {
        self.fate().starts_with("pending")
    }

    pub(super) fn fate(&self) -> &str {
        &self.fates[self.fates.len() - 1]
    }
}

/// How the store ended, which decides what a later one must remember.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::store::disk::tests) enum After {
    /// Every call got its reply.
    Rest,
    Kill,
    PowerCut,
}

impl World {
    pub(in crate::store::disk::tests) fn new(seed: u64, disk: Disk) -> Self {
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
            crash_marks: BTreeMap::new(),
            refused: BTreeMap::new(),
            unanswered: Vec::new(),
            unsure: BTreeSet::new(),
        }
    }

    /// Returns the same world with a separate disk and an open store: it goes on in the same way.
    pub(in crate::store::disk::tests) fn fork(&self) -> Self {
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
            crash_marks: self.crash_marks.clone(),
            refused: self.refused.clone(),
            unanswered: self.unanswered.clone(),
            unsure: self.unsure.clone(),
        };
        assert!(world.open());
        world
    }

    pub(in crate::store::disk::tests) fn store(&self) -> &DiskStore {
        self.store.as_ref().unwrap()
    }

    pub(in crate::store::disk::tests) fn now(&self) -> u64 {
        self.now
    }

    /// Opens the store. Returns `false` if the process died meanwhile.
    pub(in crate::store::disk::tests) fn open(&mut self) -> bool {
        match open(&self.files, &self.disk, self.now) {
            Ok(store) => {
                for function in FUNCTIONS {
                    store.open(&FunctionName::new(function), RETAINED);
                }
                forgetful(&store, "fill");
                self.store = Some(store);
                true
            }
            Err(error) => {
                assert!(self.files.is_dead(), "{error}");
                false
            }
        }
    }

    /// Makes a call and returns the reply, which comes with a later call if the store had no room at first.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&DiskStore, Reply<T>),
    ) -> Result<T, StoreError> {
        let (sender, receiver) = std::sync::mpsc::channel();
        call(
            self.store(),
            Reply::new(move |result| drop(sender.send(result))),
        );
        (0..3)
            .find_map(|_| {
                let result = receiver.try_recv().ok();
                if result.is_none() {
                    self.poke();
                }
                result
            })
            .unwrap_or_else(|| panic!("no reply"))
    }

    /// Returns whether the store takes no calls any more.
    pub(super) fn is_off(&self) -> bool {
        self.files.is_dead() || matches!(self.store().health(), Health::Failed(_))
    }

    /// Returns whether the store has applied all calls; without room, it has applied the earlier ones only.
    pub(super) fn is_well(&self) -> bool {
        !self.files.is_dead() && self.store().health() == Health::Well
    }

    /// Lets the store apply all earlier calls.
    pub(in crate::store::disk::tests) fn poke(&self) {
        let nobody = RequestId::from(uuid::Uuid::nil());
        let _ = ask(|reply| self.store().look(nobody, reply));
    }

    pub(super) fn any(&mut self, like: impl Fn(&Story) -> bool) -> Option<u64> {
        let found = self.stories.iter().filter(|(_, story)| like(story));
        let found: Vec<_> = found.map(|(&mark, _)| mark).collect();
        (!found.is_empty()).then(|| found[self.rng.random_range(0..found.len())])
    }

    pub(super) fn becomes(&mut self, mark: u64, fate: String) {
        let Some(story) = self.stories.get_mut(&mark) else {
            return;
        };
        if !fate.starts_with("dead") {
            story.letter = None;
        }
        story.fates.push(fate);
    }

    /// Notes that the store has made all calls durable.
    pub(in crate::store::disk::tests) fn all_certain(&mut self) {
        for story in self.stories.values_mut() {
            story.certain = story.fates.len() - 1;
        }
    }
}

/// Bounds that no test reaches.
pub(in crate::store::disk::tests) const RETAINED: Retained = Retained {
    events_max: 100_000,
    bytes_max: 1 << 30,
    age_max: Duration::MAX,
    keys_max: u32::MAX,
};
