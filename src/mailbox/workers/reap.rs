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
