//! The executions of a runtime, shared by its workers: the table of `idempotency/mod.rs` behind a lock.
//!
//! A [`Claim`] is the right to one execution. Whoever runs the work holds it; when the last holder lets go without a
//! result, it is released. So an attempt that failed, panicked, was cancelled, or timed out with its future dropped leaves
//! its key free at once, and a thread that can't be stopped keeps its key for as long as it runs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock::Clock;
use crate::base::spin_lock;
use crate::base::time::Time;
use crate::event::failure::{Directive, Failure, FailureKind};
use crate::event::payload::Payload;
use crate::idempotency::{
    self, Bounds, Claimed, Completed, Digest, Executions, Fenced, Full, Key, Owner,
};
use crate::telemetry;

/// How long after its deadline an attempt still has its key: its timeout may come late, on an arbiter that is blocked.
pub(crate) const MARGIN: Duration = Duration::from_secs(1);

/// Later than anything.
const NEVER: Time = Time(u64::MAX);

pub(crate) struct Claims {
    executions: Mutex<Executions>,
    keeper: OnceLock<Keeper>,
}

/// Keeps results beyond the process.
type Keeper = Box<dyn Fn(Completed) + Send + Sync>;

/// What is claimed.
pub(crate) struct Wanted {
    pub(crate) key: Key,
    pub(crate) validated: Option<Digest>,
    pub(crate) owner: Owner,
    pub(crate) until: Time,
    /// How long the result stands.
    pub(crate) lifetime: Duration,
}

/// What a claim brought.
pub(crate) enum Brought {
    Claim(Arc<Claim>),
    /// It is done already.
    Result(Option<Payload>),
}

/// The right to one execution, until it is dropped.
pub(crate) struct Claim {
    claims: Arc<Claims>,
    key: Key,
    owner: Owner,
    lifetime: Duration,
    clock: Clock,
}

impl Claims {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            executions: Mutex::new(Executions::new(bounds)),
            keeper: OnceLock::new(),
        }
    }

    /// Takes back results from before the process began, and has those to come kept.
    pub(crate) fn keep(&self, kept: Vec<Completed>, keeper: Keeper) {
        let mut executions = spin_lock::take(&self.executions);
        kept.into_iter()
            .for_each(|completed| executions.restore(completed));
        let _ = self.keeper.set(keeper);
    }

    /// Asks for an execution. Answers with the failure of the event that can't have it.
    pub(crate) fn claim(
        self: &Arc<Self>,
        wanted: Wanted,
        clock: &Clock,
    ) -> Result<Brought, Failure> {
        let Wanted {
            key,
            validated,
            owner,
            until,
            lifetime,
        } = wanted;
        let now = clock.now();
        let claimed = spin_lock::take(&self.executions).claim(&key, owner, validated, until, now);
        match claimed {
            Claimed::Yours => Ok(Brought::Claim(Arc::new(Claim {
                claims: self.clone(),
                key,
                owner,
                lifetime,
                clock: clock.clone(),
            }))),
            Claimed::Completed { result } => Ok(Brought::Result(result)),
            Claimed::InProgress { owner, until } => Err(in_progress(owner, until.since(now))),
            Claimed::Mismatch { first } => {
                let message = format!(
                    "payload doesn't agree with that of event {first}, whose result its idempotency key stands for"
                );
                Err(idempotency::refused("IdempotencyValidationError", message))
            }
            Claimed::Full(full) => Err(no_room(full)),
        }
    }
}

impl Claim {
    /// Moves the end of the lease further out, or says that the claim is lost.
    pub(crate) fn renew(&self, until: Time) -> Result<(), Failure> {
        let renewed = spin_lock::take(&self.claims.executions).renew(&self.key, self.owner, until);
        renewed.map_err(|fenced| self.lost(fenced))
    }

    /// Runs work that nobody can stop: the lease lasts until it ends.
    pub(crate) fn run(
        claim: Option<Arc<Self>>,
        work: impl FnOnce() -> Result<Option<Payload>, Failure>,
    ) -> Result<Option<Payload>, Failure> {
        match claim {
            None => work(),
            Some(claim) => {
                claim.renew(NEVER)?;
                let outcome = work();
                claim.settle(outcome)
            }
        }
    }

    /// The work is over. A result is kept and stands for its key; with a failure the key is free again. The outcome comes
    /// back, unless the claim was lost: then the result is not this attempt's to give.
    pub(crate) fn settle(
        self: Arc<Self>,
        outcome: Result<Option<Payload>, Failure>,
    ) -> Result<Option<Payload>, Failure> {
        let result = outcome?;
        let expires = self.clock.now().after(self.lifetime);
        let kept = spin_lock::take(&self.claims.executions).complete(
            &self.key,
            self.owner,
            result.clone(),
            expires,
        );
        let completed = kept.map_err(|fenced| self.lost(fenced))?;
        if let Some((keep, completed)) = self.claims.keeper.get().zip(completed) {
            keep(completed);
        }
        Ok(result)
    }

    /// Retried, the event finds whatever its successor came to.
    fn lost(&self, Fenced: Fenced) -> Failure {
        let Owner {
            request_id,
            attempt,
            ..
        } = self.owner;
        telemetry::claim_lost(self.key.function(), request_id, attempt);
        let message = "the attempt outlived its lease, and another event has its idempotency key";
        Failure::new(
            FailureKind::InProgress,
            "IdempotencyInconsistentStateError",
            message,
        )
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // What is completed stays; what was lost is not ours to release.
        let _ = spin_lock::take(&self.claims.executions).release(&self.key, self.owner);
    }
}

/// IDM-06
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

/// Nothing is forgotten to make room: the event waits until something expires.
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

    /// Claims one key for a second.
    fn claim(claims: &Arc<Claims>, by: u128, clock: &Clock) -> Result<Brought, Failure> {
        let wanted = Wanted {
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
        claims.claim(wanted, clock)
    }

    fn claimed(brought: Result<Brought, Failure>) -> Arc<Claim> {
        match brought {
            Ok(Brought::Claim(claim)) => claim,
            Ok(Brought::Result(_)) => panic!("nothing is done"),
            Err(failure) => panic!("{failure}"),
        }
    }

    /// BYD-15
    #[tokio::test(start_paused = true)]
    async fn the_result_of_whoever_lost_its_key_is_not_given() {
        let (claims, clock) = (Arc::new(Claims::new(Bounds::default())), Clock::real());
        let first = claimed(claim(&claims, 1, &clock));
        tokio::time::advance(Duration::from_secs(2)).await;
        let second = claimed(claim(&claims, 2, &clock));
        let lost = first.settle(Ok(None)).unwrap_err();
        assert_eq!(lost.kind, FailureKind::InProgress);
        assert!(claim(&claims, 3, &clock).is_err());
        let result = second.settle(Ok(Payload::new(2).ok())).unwrap();
        assert_eq!(result.unwrap().read::<u32>().unwrap(), 2);
        assert!(matches!(claim(&claims, 3, &clock), Ok(Brought::Result(_))));
    }

    /// IDM-06: what is left of the lease is when to come back at the latest.
    #[tokio::test(start_paused = true)]
    async fn the_lease_is_over_when_its_failure_says() {
        let (claims, clock) = (Arc::new(Claims::new(Bounds::default())), Clock::real());
        let _abandoned = claimed(claim(&claims, 1, &clock));
        tokio::time::advance(Duration::from_millis(400)).await;
        let Some(Directive::After(left)) = claim(&claims, 2, &clock).err().unwrap().directive
        else {
            panic!("it says when")
        };
        assert_eq!(left, Duration::from_millis(601));
        tokio::time::advance(left).await;
        claimed(claim(&claims, 2, &clock));
    }

    /// IDM-07
    #[test]
    fn the_last_to_let_go_frees_the_key() {
        let (claims, clock) = (Arc::new(Claims::new(Bounds::default())), Clock::real());
        let first = claimed(claim(&claims, 1, &clock));
        let thread = first.clone();
        drop(first);
        assert!(claim(&claims, 2, &clock).is_err());
        let failed = thread.settle(Err(Failure::worker_lost()));
        assert!(failed.is_err());
        claimed(claim(&claims, 2, &clock));
    }
}
