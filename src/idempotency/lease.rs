//! Leases of executions: the table of `idempotency/executions.rs` behind a lock, shared by all workers.
//!
//! An [`ExecutionLease`] is the right to one execution. The code that runs the work holds it. When its last holder drops it
//! without a result, the key is free. So an attempt that failed, panicked, was cancelled, or timed out with its future
//! dropped frees its key at once, and a thread that can't be stopped keeps its key for as long as it runs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock::Clock;
use crate::base::spin_lock;
use crate::base::time::Time;
use crate::event::directive::Directive;
use crate::event::failure::{Failure, FailureKind};
use crate::event::payload::Payload;
use crate::idempotency::{
    self, Acquisition, Bounds, Completed, Digest, Executions, Fenced, Full, Key, Owner,
};
use crate::telemetry;

/// How long an attempt keeps its key after its deadline: on a blocked arbiter, its timeout may come late.
pub(crate) const MARGIN: Duration = Duration::from_secs(1);

/// Later than anything.
const NEVER: Time = Time(u64::MAX);

/// The executions of a runtime, and the callback that stores their results.
pub(crate) struct ExecutionLeases {
    executions: Mutex<Executions>,
    keeper: OnceLock<Keeper>,
}

/// Stores results beyond the process.
type Keeper = Box<dyn Fn(Completed) + Send + Sync>;

/// A request for the lease of one execution.
pub(crate) struct LeaseRequest {
    pub(crate) key: Key,
    pub(crate) validated: Option<Digest>,
    pub(crate) owner: Owner,
    pub(crate) until: Time,
    /// How long the result is valid.
    pub(crate) lifetime: Duration,
}

/// The outcome of a request that was not refused.
pub(crate) enum Acquired {
    Lease(Arc<ExecutionLease>),
    /// An earlier execution has this result.
    Result(Option<Payload>),
}

/// The right to one execution, until it is dropped.
pub(crate) struct ExecutionLease {
    leases: Arc<ExecutionLeases>,
    key: Key,
    owner: Owner,
    lifetime: Duration,
    clock: Clock,
}

impl ExecutionLeases {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            executions: Mutex::new(Executions::new(bounds)),
            keeper: OnceLock::new(),
        }
    }

    /// Restores the results of earlier processes, and sets the callback that stores later ones.
    pub(crate) fn keep(&self, kept: Vec<Completed>, keeper: Keeper) {
        let mut executions = spin_lock::take(&self.executions);
        kept.into_iter()
            .for_each(|completed| executions.restore(completed));
        let _ = self.keeper.set(keeper);
    }

    /// Requests the lease of an execution. Returns the failure of an event that can't have it.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        request: LeaseRequest,
        clock: &Clock,
    ) -> Result<Acquired, Failure> {
        let LeaseRequest {
            key,
            validated,
            owner,
            until,
            lifetime,
        } = request;
        let now = clock.now();
        let acquisition =
            spin_lock::take(&self.executions).acquire(&key, owner, validated, until, now);
        match acquisition {
            Acquisition::Leased => Ok(Acquired::Lease(Arc::new(ExecutionLease {
                leases: self.clone(),
                key,
                owner,
                lifetime,
                clock: clock.clone(),
            }))),
            Acquisition::Completed { result } => Ok(Acquired::Result(result)),
            Acquisition::InProgress { owner, until } => Err(in_progress(owner, until.since(now))),
            Acquisition::Mismatch { first } => {
                let message = format!(
                    "the payload differs from that of event {first}, which has the result of its idempotency key"
                );
                Err(idempotency::refused("IdempotencyValidationError", message))
            }
            Acquisition::Full(full) => Err(no_room(full)),
        }
    }
}

impl ExecutionLease {
    /// Extends the lease. Returns a failure if it is lost.
    pub(crate) fn renew(&self, until: Time) -> Result<(), Failure> {
        let renewed = spin_lock::take(&self.leases.executions).renew(&self.key, self.owner, until);
        renewed.map_err(|fenced| self.lost(fenced))
    }

    /// Runs work that can't be stopped: the lease lasts until it ends.
    pub(crate) fn run(
        lease: Option<Arc<Self>>,
        work: impl FnOnce() -> Result<Option<Payload>, Failure>,
    ) -> Result<Option<Payload>, Failure> {
        match lease {
            None => work(),
            Some(lease) => {
                lease.renew(NEVER)?;
                let outcome = work();
                lease.settle(outcome)
            }
        }
    }

    /// Ends the lease. A result is stored for its key; after a failure the key is free again. Returns the outcome, or a
    /// failure if the lease was lost: then another attempt decides on the result.
    pub(crate) fn settle(
        self: Arc<Self>,
        outcome: Result<Option<Payload>, Failure>,
    ) -> Result<Option<Payload>, Failure> {
        let result = outcome?;
        let expires = self.clock.now().after(self.lifetime);
        let kept = spin_lock::take(&self.leases.executions).complete(
            &self.key,
            self.owner,
            result.clone(),
            expires,
        );
        let completed = kept.map_err(|fenced| self.lost(fenced))?;
        if let Some((keep, completed)) = self.leases.keeper.get().zip(completed) {
            keep(completed);
        }
        Ok(result)
    }

    /// Returns the failure of an attempt that lost its lease. Its retry finds the result of the attempt that has the key.
    fn lost(&self, Fenced: Fenced) -> Failure {
        let Owner {
            request_id,
            attempt,
            ..
        } = self.owner;
        telemetry::lease_lost(self.key.function(), request_id, attempt);
        let message = "the attempt outlived its lease, and another event has its idempotency key";
        Failure::new(
            FailureKind::InProgress,
            "IdempotencyInconsistentStateError",
            message,
        )
    }
}

impl Drop for ExecutionLease {
    fn drop(&mut self) {
        // A completed execution stays, and a lost lease belongs to another attempt: both refuse the release.
        let _ = spin_lock::take(&self.leases.executions).release(&self.key, self.owner);
    }
}

/// Returns the failure of an event whose key another event has (IDM-06).
fn in_progress(owner: Owner, left: Duration) -> Failure {
    let message = format!(
        "event {} with the same idempotency key is in progress",
        owner.request_id
    );
    let mut failure = Failure::new(
        FailureKind::InProgress,
        "IdempotencyAlreadyInProgressError",
        message,
    );
    // The lease includes its last moment.
    let after = left.saturating_add(Duration::from_millis(1));
    failure.directive = Some(Directive::After(after));
    failure
}

/// Returns the failure of an event without room for its key. No result is evicted: the event waits until one expires.
fn no_room(full: Full) -> Failure {
    let message =
        format!("no room for one more idempotency key: there are {full} that have not expired");
    Failure::new(
        FailureKind::System,
        "IdempotencyPersistenceLayerError",
        message,
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::event::function_name::FunctionName;
    use crate::event::request_id::RequestId;

    /// Requests one key for a second.
    fn acquire(
        leases: &Arc<ExecutionLeases>,
        by: u128,
        clock: &Clock,
    ) -> Result<Acquired, Failure> {
        let request = LeaseRequest {
            key: Key::new(FunctionName::new("f"), Digest::of(&json!(1))),
            validated: None,
            owner: Owner {
                request_id: RequestId::from(Uuid::from_u128(by)),
                attempt: 1,
                since: clock.now(),
            },
            until: clock.now().after(Duration::from_secs(1)),
            lifetime: Duration::from_secs(60),
        };
        leases.acquire(request, clock)
    }

    fn leased(acquired: Result<Acquired, Failure>) -> Arc<ExecutionLease> {
        match acquired {
            Ok(Acquired::Lease(lease)) => lease,
            Ok(Acquired::Result(_)) => panic!("no result exists yet"),
            Err(failure) => panic!("{failure}"),
        }
    }

    /// BYD-15
    #[tokio::test(start_paused = true)]
    async fn the_result_of_an_attempt_that_lost_its_lease_is_refused() {
        let (leases, clock) = (
            Arc::new(ExecutionLeases::new(Bounds::default())),
            Clock::real(),
        );
        let first = leased(acquire(&leases, 1, &clock));
        tokio::time::advance(Duration::from_secs(2)).await;
        let second = leased(acquire(&leases, 2, &clock));
        let lost = first.settle(Ok(None)).unwrap_err();
        assert_eq!(lost.kind, FailureKind::InProgress);
        assert!(acquire(&leases, 3, &clock).is_err());
        let result = second.settle(Ok(Payload::new(2).ok())).unwrap();
        assert_eq!(result.unwrap().read::<u32>().unwrap(), 2);
        assert!(matches!(
            acquire(&leases, 3, &clock),
            Ok(Acquired::Result(_))
        ));
    }

    /// IDM-06: the rest of the lease is the longest delay of the retry.
    #[tokio::test(start_paused = true)]
    async fn the_retry_delay_of_an_event_whose_key_is_leased_ends_with_the_lease() {
        let (leases, clock) = (
            Arc::new(ExecutionLeases::new(Bounds::default())),
            Clock::real(),
        );
        let _abandoned = leased(acquire(&leases, 1, &clock));
        tokio::time::advance(Duration::from_millis(400)).await;
        let Some(Directive::After(left)) = acquire(&leases, 2, &clock).err().unwrap().directive
        else {
            panic!("the failure has a delay")
        };
        assert_eq!(left, Duration::from_millis(601));
        tokio::time::advance(left).await;
        leased(acquire(&leases, 2, &clock));
    }

    /// IDM-07
    #[test]
    fn the_key_is_free_once_the_last_holder_drops_its_lease() {
        let (leases, clock) = (
            Arc::new(ExecutionLeases::new(Bounds::default())),
            Clock::real(),
        );
        let first = leased(acquire(&leases, 1, &clock));
        let thread = first.clone();
        drop(first);
        assert!(acquire(&leases, 2, &clock).is_err());
        let failed = thread.settle(Err(Failure::worker_lost()));
        assert!(failed.is_err());
        leased(acquire(&leases, 2, &clock));
    }
}
