//! The list of a function's workers, and the state of each: starting, searching, running, idle, gone.
//!
//! A plain list under the mailbox's lock: it knows neither events nor settings, and wakes nothing, but returns the wakers. A
//! worker counts as live exactly once, however it goes, even if its arbiter is blocked and it goes late or never.

mod reap;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use crate::base::time::Time;
use crate::function::context::WorkerContext;
use crate::mailbox::wake::SEARCH_MAX;
use crate::queue::entry::Ticket;

#[derive(Default)]
pub(super) struct Workers {
    /// A worker's index here is its name. Vacant records are used again.
    all: Vec<WorkerRecord>,
    vacant: Vec<u32>,
    /// Idle workers, the last to have run last: it is woken first and the first one is reaped.
    idle: Vec<u32>,
    /// Workers that count against the concurrency.
    live: u32,
    /// Of them, those that have not taken their first turn yet.
    starting: u32,
    /// Of them, those that are awake and about to look for work.
    searching: u32,
    /// The worker that was the last to begin a search, and when. If its arbiter is busy and it does not get to it, it holds
    /// the others up for a moment only.
    searcher: Option<(u32, Time)>,
    /// The worker that runs one quick event after the other, and since when it runs the present one: as good as searching.
    fast: Option<(u32, Time)>,
}

struct WorkerRecord {
    state: WorkerState,
    /// None once the record is vacant: the context leads back to the mailbox, which would keep itself alive.
    worker_context: Option<Arc<WorkerContext>>,
    waker: Option<Waker>,
    /// The serial number of the arbiter that the worker lives on.
    arbiter: u64,
    /// How many runs it began.
    run: u64,
    /// The worker stops instead of taking another event.
    retired: bool,
    /// The worker does not count as live any more, though it has not gone yet.
    discounted: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum WorkerState {
    Starting,
    /// Asleep since then.
    Idle(Time),
    /// Woken, or polling: it will look for work in a moment.
    Searching,
    /// Between two events.
    Awake,
    Busy(Ticket, Time),
    Vacant,
}

/// How a worker comes to its turn.
pub(super) struct TurnStart {
    /// It was searching: it wakes the next worker if it leaves work behind.
    pub(super) searched: bool,
    /// It is to stop.
    pub(super) retired: bool,
}

/// A worker that is gone.
pub(super) struct Departed {
    /// The attempt that it ran, and since when.
    pub(super) run: Option<(Ticket, Time)>,
    /// It was to stop.
    pub(super) retired: bool,
}

impl Workers {
    // --- coming and going

    /// Adds a worker on the arbiter with this serial number. Returns its index.
    pub(super) fn add(&mut self, worker_context: Arc<WorkerContext>, arbiter: u64) -> u32 {
        let record = WorkerRecord {
            state: WorkerState::Starting,
            worker_context: Some(worker_context),
            waker: None,
            arbiter,
            run: 0,
            retired: false,
            discounted: false,
        };
        self.live += 1;
        self.starting += 1;
        match self.vacant.pop() {
            Some(worker) => {
                self.all[worker as usize] = record;
                worker
            }
            None => {
                self.all.push(record);
                self.all.len() as u32 - 1
            }
        }
    }

    pub(super) fn set_waker(&mut self, worker: u32, waker: Waker) {
        self.all[worker as usize].waker = Some(waker);
    }

    /// Removes a worker that is gone. Returns how it went.
    pub(super) fn remove(&mut self, worker: u32) -> Departed {
        self.stop_relying_on(worker);
        let record = &mut self.all[worker as usize];
        let state = std::mem::replace(&mut record.state, WorkerState::Vacant);
        let (discounted, retired) = (record.discounted, record.retired);
        (record.waker, record.worker_context) = (None, None);
        if !discounted {
            self.live -= 1;
            self.starting -= u32::from(state == WorkerState::Starting);
        }
        self.searching -= u32::from(state == WorkerState::Searching);
        self.idle.retain(|&other| other != worker);
        self.vacant.push(worker);
        let run = match state {
            WorkerState::Busy(ticket, started) => Some((ticket, started)),
            _ => None,
        };
        Departed { run, retired }
    }

    // --- working

    /// The worker looks for work: from here on it neither starts nor searches nor is idle.
    #[inline]
    pub(super) fn begin_turn(&mut self, worker: u32) -> TurnStart {
        let record = &mut self.all[worker as usize];
        if record.state == WorkerState::Starting && !record.discounted {
            self.starting -= 1;
        }
        // A worker that something else woke is still in the list of idle ones.
        let strayed = matches!(record.state, WorkerState::Idle(_));
        let mut searched = record.state == WorkerState::Searching;
        self.searching -= u32::from(searched);
        record.state = WorkerState::Awake;
        let retired = record.retired;
        if strayed && !retired {
            self.idle.retain(|&other| other != worker);
        }
        searched |= self.stop_relying_on(worker);
        TurnStart { searched, retired }
    }

    /// The worker runs this attempt. Returns the run's number among the worker's runs.
    #[inline]
    pub(super) fn begin_run(&mut self, worker: u32, ticket: Ticket, fast: bool, now: Time) -> u64 {
        if fast {
            self.fast = Some((worker, now));
        }
        let record = &mut self.all[worker as usize];
        record.run += 1;
        record.state = WorkerState::Busy(ticket, now);
        record.run
    }

    /// The attempt that the worker ran is no longer its own.
    #[inline]
    pub(super) fn end_run(&mut self, worker: u32) {
        self.all[worker as usize].state = WorkerState::Awake;
    }

    /// The worker will look for work in a moment.
    #[inline]
    pub(super) fn begin_search(&mut self, worker: u32, now: Time) {
        self.all[worker as usize].state = WorkerState::Searching;
        self.searching += 1;
        self.searcher = Some((worker, now));
    }

    /// The worker won't look for work in a moment after all. Returns whether it was relied upon.
    pub(super) fn stop_relying_on(&mut self, worker: u32) -> bool {
        let mut relied_on = false;
        for relied in [&mut self.fast, &mut self.searcher] {
            relied_on |= relied.take_if(|(relied, _)| *relied == worker).is_some();
        }
        relied_on
    }

    /// The worker sleeps until it is woken.
    #[inline]
    pub(super) fn begin_idle(&mut self, worker: u32, now: Time) {
        self.stop_relying_on(worker);
        self.all[worker as usize].state = WorkerState::Idle(now);
        self.idle.push(worker);
    }

    /// The worker that has been idle for the shortest time begins to search. Returns its waker.
    #[inline]
    pub(super) fn wake_idle(&mut self, now: Time) -> Option<Waker> {
        let worker = self.idle.pop()?;
        self.begin_search(worker, now);
        self.all[worker as usize].waker.clone()
    }

    // --- stopping

    /// Retires all workers. Their runs go on, or are given up if `abort`. Returns their wakers.
    pub(super) fn retire(&mut self, abort: bool) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for record in &mut self.all {
            record.retired = true;
            if abort {
                record.give_up();
            }
            wakers.extend(record.waker.clone());
        }
        self.idle.clear();
        wakers
    }

    /// Gives up this attempt if it runs. Returns its worker's waker.
    pub(super) fn abort(&mut self, ticket: Ticket) -> Option<Waker> {
        let running = |record: &&WorkerRecord| matches!(record.state, WorkerState::Busy(busy, _) if busy == ticket);
        let record = self.all.iter().find(running)?;
        record.give_up();
        record.waker.clone()
    }

    /// Retires the workers of a blocked arbiter; they don't count as live any more. Returns the attempts that are stuck
    /// there, with their beginnings, and the wakers of the other workers.
    pub(super) fn abandon(&mut self, arbiter: u64) -> (Vec<(Ticket, Time)>, Vec<Waker>) {
        let (mut stuck, mut wakers) = (Vec::new(), Vec::new());
        for (worker, record) in self.all.iter_mut().enumerate() {
            if !record.is_on(arbiter) || record.discounted {
                continue;
            }
            (record.retired, record.discounted) = (true, true);
            (self.fast, self.searcher) = (None, None);
            self.live -= 1;
            self.starting -= u32::from(record.state == WorkerState::Starting);
            if record.state == WorkerState::Searching {
                record.state = WorkerState::Awake;
                self.searching -= 1;
            }
            self.idle.retain(|&other| other as usize != worker);
            match record.state {
                WorkerState::Busy(ticket, started) => stuck.push((ticket, started)),
                // Nothing else would ever wake it, and it must stop once its arbiter is free again.
                _ => wakers.extend(record.waker.clone()),
            }
        }
        (stuck, wakers)
    }

    // --- counting

    pub(super) fn has_any_on(&self, arbiter: u64) -> bool {
        self.all.iter().any(|it| it.is_on(arbiter))
    }

    #[inline]
    pub(super) fn live(&self) -> u32 {
        self.live
    }

    #[inline]
    pub(super) fn idle(&self) -> u32 {
        self.idle.len() as u32
    }

    #[inline]
    pub(super) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    #[inline]
    pub(super) fn are_all_idle(&self) -> bool {
        self.idle() == self.live
    }

    /// Returns whether a woken or polling worker is about to look for work.
    #[inline]
    pub(super) fn is_searched(&self, now: Time) -> bool {
        self.searcher
            .is_some_and(|(_, since)| since.after(SEARCH_MAX) > now)
    }

    /// Returns until when a worker can be relied upon to find a new ready event; the beginning of time if none searches.
    #[inline]
    pub(super) fn searched_until(&self) -> Time {
        let relied = [self.searcher, self.fast].into_iter().flatten();
        relied
            .map(|(_, since)| since.after(SEARCH_MAX))
            .max()
            .unwrap_or_default()
    }

    /// Returns whether a worker is relied upon, because it searches or is fast. That may be in vain: its thread may be busy
    /// with something else.
    #[inline]
    pub(super) fn is_relied_upon(&self) -> bool {
        self.searcher.is_some() || self.fast.is_some()
    }

    /// Returns how many workers will look for work without being woken, as far as can be known.
    pub(super) fn coming(&self, now: Time) -> u64 {
        let searching = if self.is_searched(now) {
            self.searching
        } else {
            0
        };
        u64::from(self.starting) + u64::from(searching)
    }

    /// Returns when the next idle worker may have to be reaped, with `start` more workers about to come.
    pub(super) fn next_reap(&self, keep_alive: Duration, start: u32, now: Time) -> Option<Time> {
        let idle = self
            .idle
            .iter()
            .filter_map(|&worker| match self.all[worker as usize].state {
                WorkerState::Idle(since) => Some(since.after(keep_alive)),
                _ => None,
            });
        // Busy workers will be idle some day; look again a keep-alive later.
        let busy = (self.live + start > self.idle()).then(|| now.after(keep_alive));
        idle.min().into_iter().chain(busy).min()
    }
}

impl WorkerRecord {
    fn is_on(&self, arbiter: u64) -> bool {
        self.arbiter == arbiter && self.state != WorkerState::Vacant
    }

    /// Gives up the run that goes on, if one does.
    fn give_up(&self) {
        if let Some(worker_context) = &self.worker_context {
            worker_context.abort.store(self.run, Ordering::Release);
        }
    }
}
