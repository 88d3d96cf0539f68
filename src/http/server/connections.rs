//! The connections of the server: how many there are, and which of them wait for their client.
//!
//! When there are as many as may be, the one that has waited longest is ended, those first that never had a request: a TLS
//! handshake that stands still, a head that doesn't come. So clients that send nothing don't keep out those that do. A
//! connection whose request is being carried out is never ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::base::clock::tokio_now;
use crate::base::spin_lock::take;

/// A connection that had a request is ended once it has waited so long. One that had none, at once.
const WAIT_MIN: Duration = Duration::from_secs(2);

pub(super) struct Connections {
    /// With one more, one has to go.
    max: usize,
    all: Mutex<ConnectionTable>,
}

#[derive(Default)]
struct ConnectionTable {
    count: usize,
    /// How many were asked to end and haven't yet.
    ending: usize,
    last: u64,
    waiting: BTreeMap<WaitRank, Waiting>,
    /// A task looks from time to time whether one has waited long enough.
    is_watched: bool,
}

/// Those that had no request come first, then those that have waited longest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct WaitRank {
    had_request: bool,
    number: u64,
}

struct Waiting {
    since: Instant,
    end: Arc<Notify>,
}

/// One connection, for as long as it is there.
pub(super) struct Presence {
    among: Arc<Connections>,
    had_request: bool,
    /// Where it is among those that wait, unless it was asked to end since.
    place: Option<WaitRank>,
    end: Arc<Notify>,
}

impl Connections {
    /// Makes room for one more when there are `max`.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.saturating_sub(1),
            all: Mutex::default(),
        })
    }

    /// One more, which waits for its first request, or the handshake before it. `end` is notified when it has to go.
    pub(super) fn enter(self: &Arc<Self>, end: Arc<Notify>) -> Presence {
        take(&self.all).count += 1;
        self.make_room(tokio_now());
        self.watch();
        let mut presence = Presence {
            among: self.clone(),
            had_request: false,
            place: None,
            end,
        };
        presence.waits();
        presence
    }

    fn make_room(&self, now: Instant) {
        let mut all = take(&self.all);
        let ConnectionTable {
            count,
            ending,
            waiting,
            ..
        } = &mut *all;
        while *count - *ending > self.max {
            let Some(longest) = waiting.first_entry() else {
                return;
            };
            if longest.key().had_request && now < longest.get().since + WAIT_MIN {
                return;
            }
            longest.remove().end.notify_one();
            *ending += 1;
        }
    }

    /// As long as there are too many, one goes as soon as it has waited long enough.
    fn watch(self: &Arc<Self>) {
        let is_full = {
            let mut all = take(&self.all);
            let is_full = all.count - all.ending > self.max && !all.is_watched;
            all.is_watched |= is_full;
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
                let mut all = take(&connections.all);
                if all.count - all.ending <= connections.max {
                    all.is_watched = false;
                    return;
                }
            }
        });
    }
}

impl Presence {
    /// The connection waits for its client, be it for a request, the rest of a body, or that it takes an answer.
    pub(super) fn waits(&mut self) {
        if self.place.is_some() {
            return;
        }
        let mut all = take(&self.among.all);
        all.last += 1;
        let place = WaitRank {
            had_request: self.had_request,
            number: all.last,
        };
        let waiting = Waiting {
            since: tokio_now(),
            end: self.end.clone(),
        };
        all.waiting.insert(place, waiting);
        self.place = Some(place);
    }

    /// The client has done some of what the connection waits for. Before the first request that counts for nothing.
    pub(super) fn goes_on(&mut self) {
        if self.had_request && self.serves() {
            self.waits();
        }
    }

    /// The client has done what the connection waited for. Returns false if the connection was asked to end before.
    pub(super) fn serves(&mut self) -> bool {
        self.had_request = true;
        let Some(place) = self.place else {
            return true;
        };
        let is_here = take(&self.among.all).waiting.remove(&place).is_some();
        if is_here {
            self.place = None;
        }
        is_here
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let was_asked = !self.serves();
        let mut all = take(&self.among.all);
        all.count -= 1;
        all.ending -= usize::from(was_asked);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::task::LocalSet;

    use super::*;

    fn is_ended(presence: &Presence) -> bool {
        presence.end.notified().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_without_a_request_goes_first_and_a_busy_one_never() {
        let test = async {
            let connections = Connections::new(3);
            let enter = || connections.enter(Arc::default());
            let (mut busy, mut idle) = (enter(), enter());
            assert!(busy.serves() && idle.serves());
            idle.waits();
            let half = enter();
            assert!(!is_ended(&half), "it has just come");
            let next = enter();
            assert!(is_ended(&half) && !is_ended(&next));
            drop((half, next));
            let all = take(&connections.all);
            assert_eq!((all.count, all.ending), (2, 0));
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_had_a_request_goes_once_it_has_waited_long_enough() {
        let test = async {
            let connections = Connections::new(2);
            let mut busy = connections.enter(Arc::default());
            assert!(busy.serves());
            let mut idle = connections.enter(Arc::default());
            assert!(idle.serves());
            idle.waits();
            assert!(!is_ended(&idle));
            idle.end.clone().notified().await;
            assert!(!idle.serves() && !is_ended(&busy));
        };
        LocalSet::new().run_until(test).await;
    }
}
