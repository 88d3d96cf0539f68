//! Helpers of the tests in virtual time: they start a simulation and read dead letters.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

use std::future::Future;
use std::sync::Once;
use std::time::{Duration, SystemTime};

use redrive::testing::{Script, Simulation, Step, run};
use redrive::{
    Builder, DeadLetter, DeadLetterQueue, Filter, Function, Get, List, RequestId, Runtime,
};

/// Runs `test` on a simulation of `functions`.
pub fn simulate<F, Fut>(functions: impl IntoIterator<Item = Function>, test: F)
where
    F: FnOnce(Simulation) -> Fut,
    Fut: Future<Output = ()>,
{
    simulate_with(
        functions
            .into_iter()
            .fold(Runtime::builder(), Builder::function),
        test,
    );
}

/// Runs `test` on a simulation of the runtime that `builder` builds.
pub fn simulate_with<F, Fut>(builder: Builder, test: F)
where
    F: FnOnce(Simulation) -> Fut,
    Fut: Future<Output = ()>,
{
    hush();
    run(async move { test(Simulation::start(7, builder).await.unwrap()).await });
}

/// Keeps panics that a test causes on purpose out of its output: those whose text says `as scripted`.
pub fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            if !text.is_some_and(|text| text.contains("as scripted")) {
                loud(info);
            }
        }));
    });
}

/// Panics with a payload whose drop panics with the next such payload, and so on without end.
pub fn endless_panic() {
    struct Grenade;
    impl Drop for Grenade {
        fn drop(&mut self) {
            endless_panic();
        }
    }
    std::panic::resume_unwind(Box::new(Grenade));
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn steps(steps: impl Into<Vec<Step>>) -> Script {
    Script(steps.into())
}

pub fn fail() -> Step {
    Step::Fail("as scripted".to_owned())
}

/// The whole seconds from `start` to `end`, to the nearest.
pub fn seconds_between(start: SystemTime, end: SystemTime) -> u64 {
    end.duration_since(start).unwrap().as_secs_f64().round() as u64
}

/// When each attempt began, in seconds after the event was accepted.
pub fn starts(letter: &DeadLetter) -> Vec<u64> {
    let since = |time| seconds_between(letter.accepted_at, time);
    letter
        .attempts
        .iter()
        .map(|attempt| since(attempt.started_at))
        .collect()
}

pub fn dead_letters(simulation: &Simulation) -> actix::Addr<DeadLetterQueue> {
    simulation.runtime().dead_letters()
}

/// Every letter in the queue, oldest first.
pub async fn letters(simulation: &Simulation) -> Vec<DeadLetter> {
    let (mut letters, mut next) = (Vec::new(), Some(0));
    while let Some(cursor) = next {
        let page = List::new(Filter::new()).limit(usize::MAX).after(cursor);
        let page = dead_letters(simulation).send(page).await.unwrap();
        letters.extend(page.letters);
        next = page.next;
    }
    letters
}

/// The letter of one event.
pub async fn letter(simulation: &Simulation, id: RequestId) -> DeadLetter {
    dead_letters(simulation)
        .send(Get(id))
        .await
        .unwrap()
        .expect("the event is a dead letter")
}

/// Invokes `function` with `payload` and returns the event's id.
pub async fn invoke<T>(simulation: &Simulation, function: &str, payload: T) -> RequestId
where
    T: serde::Serialize + Send + Sync + 'static,
{
    simulation
        .client()
        .invoke(function, payload)
        .await
        .unwrap()
        .request_id
}
