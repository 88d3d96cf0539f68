//! The watch over the pool's arbiters: finds and replaces arbiters that a handler blocks.
//!
//! ```text
//!   a task is polled for a fifth of `blocked_after`: its function gets dedicated arbiters
//!   ... for `blocked_after`: the function is named, the arbiter replaced, and that is a crash of the function;
//!       for a minute, functions that have not succeeded yet start on dedicated arbiters
//!   ... until it returns: its thread is abandoned; a function has a bounded number of those
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::actor::arbiter_pool::{Pool, PoolArbiter};
use crate::admission::Admission;
use crate::mailbox::Mailbox;
use crate::mailbox::supervisor_message::SupervisorMessage;
use crate::telemetry;

/// How often the watch looks within the time that counts as blocked.
const LOOKS: u32 = 5;

/// An arbiter that polled the same task at the last look, and for how many looks.
struct Suspect {
    arbiter: Arc<PoolArbiter>,
    beat: u64,
    looks: u32,
}

/// An arbiter that was replaced, and whose thread has not come back.
struct Abandoned {
    arbiter: Arc<PoolArbiter>,
    mailbox: Arc<Mailbox>,
}

/// Watches the arbiters for as long as it is polled.
pub(crate) async fn watch(pool: Arc<Pool>, admission: Arc<Admission>, blocked_after: Duration) {
    let (mut suspects, mut abandoned) = (Vec::new(), Vec::new());
    loop {
        tokio::time::sleep(blocked_after / LOOKS).await;
        abandoned.retain(|it: &Abandoned| {
            let stuck = it.arbiter.busy_beat().is_some();
            if !stuck {
                it.mailbox.health().thread_returned();
            }
            stuck
        });
        suspects = look(&pool, &admission, &suspects);
        for suspect in suspects.extract_if(.., |suspect| suspect.looks >= LOOKS) {
            abandoned.extend(abandon(&pool, &admission, suspect, blocked_after));
        }
    }
}

/// The arbiters that poll a task, and for how many looks it has been the same.
fn look(pool: &Pool, admission: &Admission, before: &[Suspect]) -> Vec<Suspect> {
    let mut suspects = Vec::new();
    for arbiter in pool.all() {
        let Some(beat) = arbiter.busy_beat() else {
            continue;
        };
        let same = |it: &&Suspect| it.arbiter.serial == arbiter.serial && it.beat == beat;
        let looks = before.iter().find(same).map_or(0, |it| it.looks + 1);
        if looks == 1
            && let Some(mailbox) = admission.registry.numbered(arbiter.function())
        {
            mailbox.health().dedicate_arbiters(mailbox.clock.now());
        }
        suspects.push(Suspect {
            arbiter,
            beat,
            looks,
        });
    }
    suspects
}

/// Replaces a blocked arbiter and names the function that did it.
fn abandon(
    pool: &Pool,
    admission: &Admission,
    suspect: Suspect,
    blocked_after: Duration,
) -> Option<Abandoned> {
    let arbiter = suspect.arbiter;
    let mailbox = admission.registry.numbered(arbiter.function());
    let name = mailbox.as_ref().map_or("?", |it| it.name().as_str());
    telemetry::arbiter_blocked(name, blocked_after);
    pool.replace(&arbiter);
    pool.raise_alarm(admission.clock.now());
    for mailbox in admission.registry.all() {
        if mailbox.health().has_workers_on(arbiter.serial) {
            mailbox.notify(SupervisorMessage::ArbiterBlocked(arbiter.serial));
        }
    }
    let mailbox = mailbox?;
    mailbox
        .health()
        .thread_blocked(blocked_after, mailbox.clock.now());
    Some(Abandoned { arbiter, mailbox })
}
