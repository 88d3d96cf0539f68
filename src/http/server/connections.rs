//! The connections of the server: their number, and those that wait for their client.
//!
//! At the bound, the connection that has waited longest for its client is evicted. Connections that never had a request (a
//! stalled TLS handshake, an unfinished head) go first, so idle clients don't keep active ones out. A connection whose request
//! is running is never evicted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::base::clock::tokio_now;
use crate::base::spin_lock::take;

/// How long a connection that had a request must have waited before it may be evicted. Others may be evicted at once.
const WAIT_MIN: Duration = Duration::from_secs(2);

pub(super) struct Connections {
    /// Beyond this number connections are evicted.
    max: usize,
    table: Mutex<ConnectionTable>,
}

#[derive(Default)]
struct ConnectionTable {
    count: usize,
    /// How many of them are evicted and have not ended yet.
    evicted: usize,
    last_number: u64,
    waiting: BTreeMap<WaitRank, Waiting>,
    /// A task checks periodically whether a connection has waited long enough.
    is_watched: bool,
}

/// The order of eviction: connections without a request first, then by the beginning of their wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct WaitRank {
    had_request: bool,
    number: u64,
}

struct Waiting {
    since: Instant,
    evict: Arc<Notify>,
}

/// A connection's membership in the table, which its drop ends.
pub(super) struct Presence {
    among: Arc<Connections>,
    had_request: bool,
    /// The connection's key in `waiting`. The entry is gone once the connection is evicted.
    rank: Option<WaitRank>,
    evict: Arc<Notify>,
}

impl Connections {
    /// Returns a table that evicts a connection when the last of `max` places is taken, so that the next client finds room.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.saturating_sub(1),
            table: Mutex::default(),
        })
    }

    /// Adds a connection, which waits for its handshake or first request. `evict` is notified when it is evicted.
    pub(super) fn enter(self: &Arc<Self>, evict: Arc<Notify>) -> Presence {
        take(&self.table).count += 1;
        self.make_room(tokio_now());
        self.watch();
        let mut presence = Presence {
            among: self.clone(),
            had_request: false,
            rank: None,
            evict,
        };
        presence.set_waiting();
        presence
    }

    /// Evicts connections down to the bound, as far as some have waited long enough.
    fn make_room(&self, now: Instant) {
        let mut table = take(&self.table);
        let ConnectionTable {
            count,
            evicted,
            waiting,
            ..
        } = &mut *table;
        while *count - *evicted > self.max {
            let Some(longest) = waiting.first_entry() else {
                return;
            };
            if longest.key().had_request && now < longest.get().since + WAIT_MIN {
                return;
            }
            longest.remove().evict.notify_one();
            *evicted += 1;
        }
    }

    /// Starts the task that makes room while there are too many connections, unless it runs.
    fn watch(self: &Arc<Self>) {
        let is_full = {
            let mut table = take(&self.table);
            let is_full = table.count - table.evicted > self.max && !table.is_watched;
            table.is_watched |= is_full;
            is_full
        };
        if !is_full {
            return;
        }
        let connections = self.clone();
        actix_rt::spawn(async move {
            loop {
                sleep(WAIT_MIN).await;
                connections.make_room(tokio_now());
                let mut table = take(&connections.table);
                if table.count - table.evicted <= connections.max {
                    table.is_watched = false;
                    return;
                }
            }
        });
    }
}

impl Presence {
    /// The connection waits for its client to send a request or the rest of a body, or to read a response.
    pub(super) fn set_waiting(&mut self) {
        if self.rank.is_some() {
            return;
        }
        let mut table = take(&self.among.table);
        table.last_number += 1;
        let rank = WaitRank {
            had_request: self.had_request,
            number: table.last_number,
        };
        let waiting = Waiting {
            since: tokio_now(),
            evict: self.evict.clone(),
        };
        table.waiting.insert(rank, waiting);
        self.rank = Some(rank);
    }

    /// The client has sent or read some bytes: its wait begins anew. Before the first request this has no effect.
    pub(super) fn note_progress(&mut self) {
        if self.had_request && self.set_serving() {
            self.set_waiting();
        }
    }

    /// The connection has all that it waited for. Returns `false` if it was evicted before.
    pub(super) fn set_serving(&mut self) -> bool {
        self.had_request = true;
        let Some(rank) = self.rank else {
            return true;
        };
        let is_here = take(&self.among.table).waiting.remove(&rank).is_some();
        if is_here {
            self.rank = None;
        }
        is_here
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let was_evicted = !self.set_serving();
        let mut table = take(&self.among.table);
        table.count -= 1;
        table.evicted -= usize::from(was_evicted);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::task::LocalSet;

    use super::*;

    fn is_evicted(presence: &Presence) -> bool {
        presence.evict.notified().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn connections_without_a_request_are_evicted_first_and_busy_ones_never() {
        let test = async {
            let connections = Connections::new(3);
            let enter = || connections.enter(Arc::default());
            let (mut busy, mut idle) = (enter(), enter());
            assert!(busy.set_serving() && idle.set_serving());
            idle.set_waiting();
            let half = enter();
            assert!(!is_evicted(&half), "it has just come");
            let next = enter();
            assert!(is_evicted(&half) && !is_evicted(&next));
            drop((half, next));
            let table = take(&connections.table);
            assert_eq!((table.count, table.evicted), (2, 0));
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_had_a_request_is_evicted_once_it_has_waited_long_enough() {
        let test = async {
            let connections = Connections::new(2);
            let mut busy = connections.enter(Arc::default());
            assert!(busy.set_serving());
            let mut idle = connections.enter(Arc::default());
            assert!(idle.set_serving());
            idle.set_waiting();
            assert!(!is_evicted(&idle));
            idle.evict.clone().notified().await;
            assert!(!idle.set_serving() && !is_evicted(&busy));
        };
        LocalSet::new().run_until(test).await;
    }
}
