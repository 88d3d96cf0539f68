//! The bytes that the server buffers for its clients, over all connections: of responses that are not read yet, or of requests
//! that are not complete.
//!
//! Beyond the bound, the connection whose client has made the least progress is evicted: first those that have done nothing
//! since their bytes are buffered, then by the time of the last progress. So clients that don't read, or that send large bodies
//! and stop, don't use up the application's memory, and a slow but steady reader gets its whole response.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::base::clock::tokio_now;
use crate::base::spin_lock::take;

/// Bytes that move this soon after the beginning may have moved between system buffers only: they are not progress yet.
const BEGINNING: Duration = Duration::from_millis(500);

pub(super) struct Buffered {
    max: usize,
    held: Mutex<HeldBytes>,
}

#[derive(Default)]
struct HeldBytes {
    total: usize,
    last_number: u64,
    connections: BTreeMap<EvictionRank, ConnectionBytes>,
}

/// The order of eviction: clients without progress first, then by the time of the last progress.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct EvictionRank {
    has_progressed: bool,
    number: u64,
}

struct ConnectionBytes {
    bytes: usize,
    since: Instant,
    evict: Arc<Notify>,
}

/// The bytes that one connection holds.
pub(super) struct Share {
    of: Arc<Buffered>,
    rank: Option<EvictionRank>,
    evict: Arc<Notify>,
}

impl Buffered {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            held: Mutex::default(),
        })
    }

    /// Returns an empty share for a connection. `evict` is notified when the connection is evicted.
    pub(super) fn share(self: &Arc<Self>, evict: Arc<Notify>) -> Share {
        Share {
            of: self.clone(),
            rank: None,
            evict,
        }
    }
}

impl HeldBytes {
    fn remove(&mut self, rank: EvictionRank) -> Option<ConnectionBytes> {
        let removed = self.connections.remove(&rank)?;
        self.total -= removed.bytes;
        Some(removed)
    }
}

impl Share {
    /// Sets how many bytes the connection holds. Each call is progress of its client. Evicts others beyond the bound.
    pub(super) fn hold(&mut self, bytes: usize) {
        if bytes == 0 && self.rank.is_none() {
            return;
        }
        let mut held = take(&self.of.held);
        let before = self.rank.take().and_then(|rank| held.remove(rank));
        if bytes == 0 {
            return;
        }
        held.last_number += 1;
        let now = tokio_now();
        let since = before.map_or(now, |before| before.since);
        let rank = EvictionRank {
            has_progressed: now >= since + BEGINNING,
            number: held.last_number,
        };
        held.total += bytes;
        let evict = self.evict.clone();
        let own = ConnectionBytes {
            bytes,
            since,
            evict,
        };
        held.connections.insert(rank, own);
        self.rank = Some(rank);
        while held.total > self.of.max
            && let Some(&first) = held.connections.keys().find(|other| **other != rank)
        {
            if let Some(evicted) = held.remove(first) {
                evicted.evict.notify_one();
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn share(buffered: &Arc<Buffered>) -> Share {
        buffered.share(Arc::new(Notify::new()))
    }

    fn is_evicted(share: &Share) -> bool {
        share.evict.notified().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn connections_without_progress_are_evicted_before_those_with_progress() {
        let buffered = Buffered::new(100);
        let [mut steady, mut stopped, mut stalled, mut new, mut newer] =
            std::array::from_fn(|_| share(&buffered));
        steady.hold(30);
        stopped.hold(20);
        tokio::time::advance(BEGINNING).await;
        stopped.hold(20);
        steady.hold(20);
        stalled.hold(41);
        stalled.hold(40);
        new.hold(40);
        assert!(is_evicted(&stalled), "it has made no progress");
        newer.hold(60);
        assert!(is_evicted(&new) && !is_evicted(&stopped) && !is_evicted(&steady));
        stalled.hold(0);
        newer.hold(80);
        assert!(
            is_evicted(&stopped) && !is_evicted(&steady),
            "its progress is longer ago"
        );
        assert_eq!(take(&buffered.held).total, 100);
    }

    #[test]
    fn a_single_connection_may_exceed_the_bound() {
        let buffered = Buffered::new(100);
        let (mut one, mut other) = (share(&buffered), share(&buffered));
        one.hold(10);
        other.hold(200);
        assert!(is_evicted(&one) && !is_evicted(&other));
        other.hold(0);
        drop((one, other));
        let held = take(&buffered.held);
        assert_eq!((held.total, held.connections.len()), (0, 0));
    }
}
