//! The places of a function's workers: who starts, searches, runs what, waits, or is to go.
//!
//! Plain books under the mailbox's lock: they know neither events nor settings, and wake nobody but answer whom to
//! wake. A place is counted once however its worker goes, even if its arbiter is blocked and it goes late or never.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use crate::base::time::Time;
use crate::function::context::WorkerContext;
use crate::queue::entry::Ticket;

/// How long one worker's search keeps the others asleep. Shorter costs needless wakes under load; longer, and what comes
/// in while the searching thread is not scheduled waits longer.
pub(crate) const SEARCH_MAX: Duration = Duration::from_micros(200);

#[derive(Default)]
pub(crate) struct Workers {
    all: Vec<WorkerRecord>,
    /// Vacant places in `all`.
    vacant: Vec<u32>,
    /// Workers whose workers wait, the last to have worked last: it is woken first and the first is let go.
    idle: Vec<u32>,
    /// Workers that exist and count against the concurrency.
    live: u32,
    /// Of them, those that have not asked for work yet.
    starting: u32,
    /// Workers that are awake and about to look for work. While there is one, nobody else is woken for a new event: it
    /// will find it, and wake the next one if it leaves work behind. So a burst costs few wakes.
    searching: u32,
    /// Of them the seat that was the last to begin, and when: one that doesn't get to it (its arbiter is busy) holds the
    /// others up for a moment only.
    searcher: Option<(u32, Time)>,
    /// The seat whose worker runs one quick event after the other, and since when it runs the present one: as good as
    /// searching.
    brisk: Option<(u32, Time)>,
}

struct WorkerRecord {
    state: WorkerState,
    /// None once it is vacant: a worker_context leads back to the mailbox, which would hold itself.
    worker_context: Option<Arc<WorkerContext>>,
    waker: Option<Waker>,
    /// The arbiter that its worker lives on, by serial number.
    arbiter: u64,
    /// How many runs it began.
    run: u64,
    /// Its worker stops instead of taking another event.
    retired: bool,
    /// It doesn't count as live any more though its worker has not gone yet.
    discounted: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum WorkerState {
    Starting,
    Idle(Time),
    /// Woken or lingering: it will look for work in a moment.
    Searching,
    /// Between two events.
    Awake,
    Busy(Ticket, Time),
    Vacant,
}

/// A worker that asks for work.
pub(crate) struct TurnStart {
    /// It was searching: whoever is woken next is its to wake.
    pub(crate) searched: bool,
    /// It is to stop.
    pub(crate) retired: bool,
}

/// A worker that went.
pub(crate) struct Departed {
    /// What it ran, and since when.
    pub(crate) run: Option<(Ticket, Time)>,
    /// It was told to go.
    pub(crate) retired: bool,
}

impl Workers {
    // --- coming and going

    /// A place for a new worker on the arbiter with this serial number.
    pub(crate) fn take(&mut self, worker_context: Arc<WorkerContext>, arbiter: u64) -> u32 {
        let seating = WorkerRecord {
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
            Some(seat) => {
                self.all[seat as usize] = seating;
                seat
            }
            None => {
                self.all.push(seating);
                self.all.len() as u32 - 1
            }
        }
    }

    /// How to wake the worker.
    pub(crate) fn wakes(&mut self, seat: u32, waker: Waker) {
        self.all[seat as usize].waker = Some(waker);
    }

    /// The worker is gone.
    pub(crate) fn leave(&mut self, seat: u32) -> Departed {
        self.slow(seat);
        let seating = &mut self.all[seat as usize];
        let state = std::mem::replace(&mut seating.state, WorkerState::Vacant);
        let (discounted, retired) = (seating.discounted, seating.retired);
        (seating.waker, seating.worker_context) = (None, None);
        if !discounted {
            self.live -= 1;
            self.starting -= u32::from(state == WorkerState::Starting);
        }
        self.searching -= u32::from(state == WorkerState::Searching);
        self.idle.retain(|&other| other != seat);
        self.vacant.push(seat);
        let run = match state {
            WorkerState::Busy(ticket, started) => Some((ticket, started)),
            _ => None,
        };
        Departed { run, retired }
    }

    // --- working

    /// The worker looks for work: from here on it neither starts nor searches nor waits.
    #[inline]
    pub(crate) fn ask(&mut self, seat: u32) -> TurnStart {
        let seating = &mut self.all[seat as usize];
        if seating.state == WorkerState::Starting && !seating.discounted {
            self.starting -= 1;
        }
        // Woken by nobody of ours: it still stands among the idle.
        let strayed = matches!(seating.state, WorkerState::Idle(_));
        let mut searched = seating.state == WorkerState::Searching;
        self.searching -= u32::from(searched);
        seating.state = WorkerState::Awake;
        let retired = seating.retired;
        if strayed && !retired {
            self.idle.retain(|&other| other != seat);
        }
        searched |= self.slow(seat);
        TurnStart { searched, retired }
    }

    /// The worker runs this. Answers the run's number among the seat's.
    #[inline]
    pub(crate) fn begin(&mut self, seat: u32, ticket: Ticket, brisk: bool, now: Time) -> u64 {
        if brisk {
            self.brisk = Some((seat, now));
        }
        let seating = &mut self.all[seat as usize];
        seating.run += 1;
        seating.state = WorkerState::Busy(ticket, now);
        seating.run
    }

    /// What the worker ran is no longer its own.
    #[inline]
    pub(crate) fn end(&mut self, seat: u32) {
        self.all[seat as usize].state = WorkerState::Awake;
    }

    /// The worker will look for work in a moment.
    #[inline]
    pub(crate) fn search(&mut self, seat: u32, now: Time) {
        self.all[seat as usize].state = WorkerState::Searching;
        self.searching += 1;
        self.searcher = Some((seat, now));
    }

    /// The worker won't look for work in a moment after all. Answers whether anybody relied on it.
    pub(crate) fn slow(&mut self, seat: u32) -> bool {
        let mut relied_on = false;
        for relied in [&mut self.brisk, &mut self.searcher] {
            relied_on |= relied.take_if(|(relied, _)| *relied == seat).is_some();
        }
        relied_on
    }

    /// The worker waits until it is woken.
    #[inline]
    pub(crate) fn wait(&mut self, seat: u32, now: Time) {
        self.slow(seat);
        self.all[seat as usize].state = WorkerState::Idle(now);
        self.idle.push(seat);
    }

    /// Sends the worker that waits the shortest searching; answers how to wake it.
    #[inline]
    pub(crate) fn wake_idle(&mut self, now: Time) -> Option<Waker> {
        let seat = self.idle.pop()?;
        self.search(seat, now);
        self.all[seat as usize].waker.clone()
    }

    // --- letting go

    /// Retires idle workers whose time is up; `idle` is ordered by it but for those woken in between.
    pub(crate) fn let_go(&mut self, keep_alive: Duration, now: Time, wakers: &mut Vec<Waker>) {
        let Self { idle, all, .. } = self;
        idle.retain(|&seat| {
            let seating = &mut all[seat as usize];
            let over =
                matches!(seating.state, WorkerState::Idle(since) if now.since(since) >= keep_alive);
            if over {
                seating.retired = true;
                wakers.extend(seating.waker.clone());
            }
            !over
        });
    }

    /// Retires all workers. What they run goes on, or is given up if `abort`. Answers how to wake them.
    pub(crate) fn retire(&mut self, abort: bool) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for seating in &mut self.all {
            seating.retired = true;
            if abort {
                seating.give_up();
            }
            wakers.extend(seating.waker.clone());
        }
        self.idle.clear();
        wakers
    }

    /// Gives up this attempt if it runs; answers its worker's waker.
    pub(crate) fn abort(&mut self, ticket: Ticket) -> Option<Waker> {
        let running = |seating: &&WorkerRecord| matches!(seating.state, WorkerState::Busy(busy, _) if busy == ticket);
        let seating = self.all.iter().find(running)?;
        seating.give_up();
        seating.waker.clone()
    }

    /// Retires the workers of a blocked arbiter and counts them no longer. Answers the attempts that are stuck there,
    /// with their beginnings, and how to wake the others.
    pub(crate) fn abandon(&mut self, arbiter: u64) -> (Vec<(Ticket, Time)>, Vec<Waker>) {
        let (mut stuck, mut wakers) = (Vec::new(), Vec::new());
        for (seat, seating) in self.all.iter_mut().enumerate() {
            if !seating.is_on(arbiter) || seating.discounted {
                continue;
            }
            (seating.retired, seating.discounted) = (true, true);
            (self.brisk, self.searcher) = (None, None);
            self.live -= 1;
            self.starting -= u32::from(seating.state == WorkerState::Starting);
            if seating.state == WorkerState::Searching {
                seating.state = WorkerState::Awake;
                self.searching -= 1;
            }
            self.idle.retain(|&other| other as usize != seat);
            match seating.state {
                WorkerState::Busy(ticket, started) => stuck.push((ticket, started)),
                // Nobody else would ever wake it, and it is to go once its arbiter is free again.
                _ => wakers.extend(seating.waker.clone()),
            }
        }
        (stuck, wakers)
    }

    // --- counting

    pub(crate) fn has_any_on(&self, arbiter: u64) -> bool {
        self.all.iter().any(|it| it.is_on(arbiter))
    }

    #[inline]
    pub(crate) fn live(&self) -> u32 {
        self.live
    }

    /// Is somebody about to look for work?
    #[inline]
    pub(crate) fn is_searched(&self, now: Time) -> bool {
        self.searcher
            .is_some_and(|(_, since)| since.after(SEARCH_MAX) > now)
    }

    /// Until when somebody can be relied upon to find what becomes ready; the beginning of time if nobody searches.
    #[inline]
    pub(crate) fn searched_until(&self) -> Time {
        let relied = [self.searcher, self.brisk].into_iter().flatten();
        relied
            .map(|(_, since)| since.after(SEARCH_MAX))
            .max()
            .unwrap_or_default()
    }

    #[inline]
    pub(crate) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    #[inline]
    pub(crate) fn are_all_idle(&self) -> bool {
        self.idle.len() as u32 == self.live
    }

    /// Is anybody relied upon, to search or because it is brisk? It may be in vain: its thread may be busy with something
    /// else.
    #[inline]
    pub(crate) fn is_relied_upon(&self) -> bool {
        self.searcher.is_some() || self.brisk.is_some()
    }

    /// Workers that will look for work unasked, as far as can be known.
    pub(crate) fn coming(&self, now: Time) -> u64 {
        let searching = if self.is_searched(now) {
            self.searching
        } else {
            0
        };
        u64::from(self.starting) + u64::from(searching)
    }

    /// When the next idle worker's time is up, or may be, with `start` more workers about to come.
    pub(crate) fn next_over(&self, keep_alive: Duration, start: u32, now: Time) -> Option<Time> {
        let idle = self
            .idle
            .iter()
            .filter_map(|&seat| match self.all[seat as usize].state {
                WorkerState::Idle(since) => Some(since.after(keep_alive)),
                _ => None,
            });
        // Busy workers will be idle some day; look again a keep-alive later.
        let busy = (self.live + start > self.idle.len() as u32).then(|| now.after(keep_alive));
        idle.min().into_iter().chain(busy).min()
    }
}

impl WorkerRecord {
    fn is_on(&self, arbiter: u64) -> bool {
        self.arbiter == arbiter && self.state != WorkerState::Vacant
    }

    /// Its worker gives up the run that goes on; without one, nothing happens.
    fn give_up(&self) {
        if let Some(worker_context) = &self.worker_context {
            worker_context.abort.store(self.run, Ordering::Release);
        }
    }
}
