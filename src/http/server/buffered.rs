//! The bytes that the server holds for its clients, of all connections together: of answers that are not taken yet, or of
//! requests that are not whole yet.
//!
//! When there are more than may be, the connection is ended whose client has gone on least: first those that have done nothing
//! since their bytes are held, then those that have done nothing for the longest time. So clients that don't read, or send
//! large bodies and stop, don't take the memory of the application; one that reads slowly and steadily gets its answer whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::base::clock::tokio_now;
use crate::base::spin_lock::take;

/// What a client takes or sends so soon after the beginning may be its system's doing, and says nothing of what it will do.
const BEGINNING: Duration = Duration::from_millis(500);

pub(super) struct Buffered {
    max: usize,
    held: Mutex<HeldBytes>,
}

#[derive(Default)]
struct HeldBytes {
    bytes: usize,
    last: u64,
    parts: BTreeMap<EvictionRank, Holding>,
}

/// Those whose clients have done nothing yet come first, then those that last did something long ago.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct EvictionRank {
    has_gone_on: bool,
    number: u64,
}

struct Holding {
    bytes: usize,
    since: Instant,
    end: Arc<Notify>,
}

/// What one connection holds.
pub(super) struct Share {
    of: Arc<Buffered>,
    part: Option<EvictionRank>,
    end: Arc<Notify>,
}

impl Buffered {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            held: Mutex::default(),
        })
    }

    /// Nothing yet, of a connection whose `end` is notified when it has to go.
    pub(super) fn share(self: &Arc<Self>, end: Arc<Notify>) -> Share {
        Share {
            of: self.clone(),
            part: None,
            end,
        }
    }
}

impl HeldBytes {
    fn remove(&mut self, part: EvictionRank) -> Option<Holding> {
        let part = self.parts.remove(&part)?;
        self.bytes -= part.bytes;
        Some(part)
    }
}

impl Share {
    /// The connection begins to hold so many bytes, or its client has just sent or taken some and these are there now. Others
    /// are ended if that is too much.
    pub(super) fn hold(&mut self, bytes: usize) {
        if bytes == 0 && self.part.is_none() {
            return;
        }
        let mut held = take(&self.of.held);
        let before = self.part.take().and_then(|part| held.remove(part));
        if bytes == 0 {
            return;
        }
        held.last += 1;
        let now = tokio_now();
        let since = before.map_or(now, |before| before.since);
        let part = EvictionRank {
            has_gone_on: now >= since + BEGINNING,
            number: held.last,
        };
        held.bytes += bytes;
        let end = self.end.clone();
        held.parts.insert(part, Holding { bytes, since, end });
        self.part = Some(part);
        while held.bytes > self.of.max
            && let Some(&least) = held.parts.keys().find(|other| **other != part)
        {
            if let Some(part) = held.remove(least) {
                part.end.notify_one();
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

    fn is_ended(share: &Share) -> bool {
        share.end.notified().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_do_nothing_go_before_those_that_go_on() {
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
        assert!(is_ended(&stalled), "it has done nothing since");
        newer.hold(60);
        assert!(is_ended(&new) && !is_ended(&stopped) && !is_ended(&steady));
        stalled.hold(0);
        newer.hold(80);
        assert!(
            is_ended(&stopped) && !is_ended(&steady),
            "that was longer ago"
        );
        assert_eq!(take(&buffered.held).bytes, 100);
    }

    #[test]
    fn one_alone_may_hold_more_than_all_may() {
        let buffered = Buffered::new(100);
        let (mut one, mut other) = (share(&buffered), share(&buffered));
        one.hold(10);
        other.hold(200);
        assert!(is_ended(&one) && !is_ended(&other));
        other.hold(0);
        drop((one, other));
        let held = take(&buffered.held);
        assert_eq!((held.bytes, held.parts.len()), (0, 0));
    }
}
