//! Results of executions, which the store keeps for the idempotency keys of later processes.

use super::StoreLink;
use crate::base::panic;
use crate::base::time::Time;
use crate::event::function_name::FunctionName;
use crate::idempotency::lease::ExecutionLeases;
use crate::idempotency::{Completed, Digest, Key, Owner};
use crate::store::Execution;
use crate::telemetry;

impl StoreLink {
    /// Gives `leases` the results that the store has, and has it keep those to come. `current_name` returns the name that a
    /// function has now.
    pub(crate) async fn keep_executions(
        &self,
        leases: &ExecutionLeases,
        current_name: impl Fn(FunctionName) -> FunctionName,
    ) {
        let Some(link) = &self.link else {
            return;
        };
        let kept = self.ask(|store, reply| store.executions(reply)).await;
        let kept = kept.unwrap_or_default().into_iter();
        let kept = kept.filter(|it| !is_signature(it)).map(|execution| {
            let function = current_name(execution.function.clone());
            completed(Execution {
                function,
                ..execution
            })
        });
        let link = link.clone();
        let keep = move |completed| {
            let execution = execution(completed);
            let id = execution.request_id;
            let problem = match panic::catch(|| link.store.remember(execution)) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(panicked) => panicked.message,
            };
            let now = link.clock.now();
            telemetry::settle_failed(&link.refused_settlements, now, None, id, &problem);
        };
        leases.keep(kept.collect(), Box::new(keep));
    }
}

/// The function whose executions are signatures of requests. An application can't register one of this name: it is not
/// legal.
pub(super) fn signatures() -> FunctionName {
    FunctionName::new("$signatures")
}

pub(super) fn is_signature(execution: &Execution) -> bool {
    execution.function == signatures()
}

fn execution(completed: Completed) -> Execution {
    let Completed {
        key,
        owner,
        validated,
        result,
        expires,
    } = completed;
    Execution {
        function: key.function().clone(),
        key: key.digest().0,
        validated: validated.map(|digest| digest.0),
        request_id: owner.request_id,
        attempt: owner.attempt,
        since: owner.since.stored(),
        result,
        expires_at: expires.stored(),
    }
}

fn completed(execution: Execution) -> Completed {
    Completed {
        key: Key::new(execution.function, Digest(execution.key)),
        owner: Owner {
            request_id: execution.request_id,
            attempt: execution.attempt,
            since: Time::of(execution.since),
        },
        validated: execution.validated.map(Digest),
        result: execution.result,
        expires: Time::of(execution.expires_at),
    }
}
