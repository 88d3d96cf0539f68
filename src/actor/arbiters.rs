//! The arbiters that user code runs on: placement of workers, and the watch for one that a handler blocks.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle};
use parking_lot::Mutex;

use crate::admission::Admission;
use crate::notice::Notice;
use crate::telemetry;

/// Where workers live.
pub(crate) struct Pool {
    berths: Mutex<Vec<Berth>>,
    serials: AtomicU64,
    /// Everything runs on the arbiter that started the runtime: virtual time needs one thread.
    single: bool,
}

struct Berth {
    handle: ArbiterHandle,
    mooring: Arc<Mooring>,
}

impl Berth {
    /// Lets the arbiter go: its workers finish what they run, and with the last of them it stops.
    fn leave(self) {
        self.mooring.left.store(true, Ordering::SeqCst);
        self.mooring.stop_if_deserted();
    }
}

/// What a worker and the watch share about an arbiter.
pub(crate) struct Mooring {
    pub(crate) serial: u64,
    workers: AtomicU32,
    /// Odd while user code is polled. Written by the arbiter's own thread alone.
    beat: AtomicU64,
    /// The number of the function whose code is polled.
    function: AtomicU32,
    handle: ArbiterHandle,
    /// It was replaced: whoever leaves it last stops it.
    left: AtomicBool,
}

impl Mooring {
    fn new(serial: u64, handle: ArbiterHandle) -> Arc<Self> {
        Arc::new(Self {
            serial,
            workers: AtomicU32::new(0),
            beat: AtomicU64::new(0),
            function: AtomicU32::new(0),
            handle,
            left: AtomicBool::new(false),
        })
    }

    fn stop_if_deserted(&self) {
        if self.left.load(Ordering::SeqCst) && self.workers.load(Ordering::SeqCst) == 0 {
            self.handle.stop();
        }
    }

    /// Runs user code under the watch.
    pub(crate) fn watched<R>(&self, function: u32, code: impl FnOnce() -> R) -> R {
        self.function.store(function, Ordering::Relaxed);
        let beat = self.beat.load(Ordering::Relaxed);
        self.beat.store(beat + 1, Ordering::Release);
        let result = code();
        self.beat.store(beat + 2, Ordering::Release);
        result
    }

    /// Counts a worker in for as long as the answer lives.
    pub(crate) fn moor(self: &Arc<Self>) -> Moored {
        self.workers.fetch_add(1, Ordering::SeqCst);
        Moored(self.clone())
    }
}

pub(crate) struct Moored(pub(crate) Arc<Mooring>);

impl Drop for Moored {
    fn drop(&mut self) {
        self.0.workers.fetch_sub(1, Ordering::SeqCst);
        self.0.stop_if_deserted();
    }
}

impl Pool {
    pub(crate) fn new(arbiters: usize) -> Self {
        let pool = Self {
            berths: Mutex::default(),
            serials: AtomicU64::new(0),
            single: false,
        };
        let berths = (0..arbiters)
            .map(|_| pool.berth(Arbiter::new().handle()))
            .collect();
        *pool.berths.lock() = berths;
        pool
    }

    /// Only the present arbiter, and nobody to watch it.
    pub(crate) fn single() -> Self {
        let pool = Self {
            berths: Mutex::default(),
            serials: AtomicU64::new(0),
            single: true,
        };
        let berth = pool.berth(Arbiter::current());
        pool.berths.lock().push(berth);
        pool
    }

    fn berth(&self, handle: ArbiterHandle) -> Berth {
        let mooring = Mooring::new(self.serials.fetch_add(1, Ordering::Relaxed), handle.clone());
        Berth { handle, mooring }
    }

    /// Runs `code` on the arbiter with the fewest workers, after `prepare` has seen which one it is. An arbiter that
    /// turns out to be gone (somebody stopped it) is replaced first.
    pub(crate) fn run<P>(
        &self,
        prepare: impl FnOnce(&Arc<Mooring>) -> P,
        code: impl FnOnce(P) + Send + 'static,
    ) where
        P: Send + 'static,
    {
        let mut berths = self.berths.lock();
        if !self.single {
            for berth in berths.iter_mut() {
                // A command that does nothing: an arbiter that can't take it is gone.
                if !berth.handle.spawn_fn(|| ()) {
                    *berth = self.berth(Arbiter::new().handle());
                }
            }
        }
        let Some(berth) = berths
            .iter()
            .min_by_key(|berth| berth.mooring.workers.load(Ordering::Relaxed))
        else {
            return;
        };
        let prepared = prepare(&berth.mooring);
        let handle = berth.handle.clone();
        drop(berths);
        handle.spawn_fn(move || code(prepared));
    }

    /// Puts a fresh arbiter in the place of a blocked one, which stops when its workers are gone.
    fn replace(&self, serial: u64) {
        let mut berths = self.berths.lock();
        if let Some(berth) = berths
            .iter_mut()
            .find(|berth| berth.mooring.serial == serial)
        {
            std::mem::replace(berth, self.berth(Arbiter::new().handle())).leave();
        }
    }

    pub(crate) fn stop(&self) {
        if !self.single {
            for berth in self.berths.lock().iter() {
                berth.handle.stop();
            }
        }
    }

    fn moorings(&self) -> Vec<Arc<Mooring>> {
        self.berths
            .lock()
            .iter()
            .map(|berth| berth.mooring.clone())
            .collect()
    }
}

/// How often the watch looks within the time that counts as blocked.
const LOOKS: u32 = 5;

/// Watches the arbiters for as long as it is polled. One whose user code has not returned for `blocked` is
/// replaced, and the function that did it is named.
pub(crate) async fn watch(pool: Arc<Pool>, admission: Arc<Admission>, blocked: Duration) {
    /// An arbiter under suspicion: where its beat stood, and for how many looks.
    struct Suspect {
        mooring: Arc<Mooring>,
        beat: u64,
        looks: Cell<u32>,
    }
    let mut suspects: Vec<Suspect> = Vec::new();
    loop {
        tokio::time::sleep(blocked / LOOKS).await;
        let mut next = Vec::new();
        for mooring in pool.moorings() {
            let beat = mooring.beat.load(Ordering::Acquire);
            if beat % 2 == 0 {
                continue;
            }
            let known = suspects
                .iter()
                .find(|suspect| suspect.mooring.serial == mooring.serial && suspect.beat == beat);
            let looks = known.map_or(0, |suspect| suspect.looks.get() + 1);
            if looks >= LOOKS {
                let function = admission.numbered(mooring.function.load(Ordering::Relaxed));
                telemetry::arbiter_blocked(
                    function
                        .as_ref()
                        .map_or("?", |mailbox| mailbox.name().as_str()),
                    blocked,
                );
                if let Some(mailbox) = function {
                    mailbox.meter(|meters| meters.arbiters_blocked += 1);
                }
                pool.replace(mooring.serial);
                for mailbox in admission.mailboxes() {
                    mailbox.tell(Notice::ArbiterBlocked(mooring.serial));
                }
                continue;
            }
            next.push(Suspect {
                mooring,
                beat,
                looks: Cell::new(looks),
            });
        }
        suspects = next;
    }
}
