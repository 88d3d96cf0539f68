//! Which idle workers are reaped: those that have been idle for the function's `keep_alive`. The supervisor asks when its
//! timer fires (`mailbox/supervision.rs`).

use std::task::Waker;
use std::time::Duration;

use super::{WorkerState, Workers};
use crate::base::time::Time;

impl Workers {
    /// Retires workers that have been idle for `keep_alive`, and adds their wakers to `wakers`.
    pub(in crate::mailbox) fn reap(
        &mut self,
        keep_alive: Duration,
        now: Time,
        wakers: &mut Vec<Waker>,
    ) {
        let Self { idle, all, .. } = self;
        idle.retain(|&worker| {
            let record = &mut all[worker as usize];
            let over =
                matches!(record.state, WorkerState::Idle(since) if now.since(since) >= keep_alive);
            if over {
                record.retired = true;
                wakers.extend(record.waker.clone());
            }
            !over
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::context::WorkerContext;

    #[test]
    fn a_worker_is_reaped_once_it_has_been_idle_for_keep_alive() {
        let keep_alive = Duration::from_secs(60);
        let idle_since = Time(1_000);
        let mut workers = Workers::default();
        let worker = workers.add(WorkerContext::for_test(), 0);
        workers.set_waker(worker, Waker::noop().clone());
        workers.begin_turn(worker);
        workers.begin_idle(worker, idle_since);

        let mut wakers = Vec::new();
        let almost = idle_since.after(keep_alive - Duration::from_nanos(1));
        workers.reap(keep_alive, almost, &mut wakers);
        assert!(wakers.is_empty());
        workers.reap(keep_alive, idle_since.after(keep_alive), &mut wakers);
        assert_eq!(wakers.len(), 1);
        assert!(workers.begin_turn(worker).retired);
    }
}
