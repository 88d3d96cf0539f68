//! Dead letters: an event fails for good, a subscriber receives the letter, and the payload is repaired and redriven.
//!
//! Run it with `cargo run --example dead_letters`.
//!
//! Output:
//! ```text
//! attempt 1: charging -500 cents
//! attempt 2: charging -500 cents
//! attempt 3: charging -500 cents
//! received: charge, RetriesExhausted after 3 attempts: can't charge less than nothing
//! listed: charge with payload -500
//! …
//! attempt 1: charging 500 cents
//! …
//! 0 dead letters left, 1 event succeeded
//! ```

use std::time::Duration;

use actix::prelude::*;
use redrive::{DeadLetter, Event, Filter, Function, List, Payload};
use redrive::{Redrive, RetryPolicy, Runtime, Subscribe};
use tokio::sync::mpsc;

async fn charge(cents: Event<i64>) -> Result<(), &'static str> {
    let attempt = cents.context().attempt();
    println!("attempt {attempt}: charging {} cents", *cents);
    match *cents {
        ..0 => Err("can't charge less than nothing"),
        _ => Ok(()),
    }
}

/// The actor that hears of every dead letter, each once and in order.
struct OnCall(mpsc::UnboundedSender<DeadLetter>);

impl Actor for OnCall {
    type Context = Context<Self>;
}

impl Handler<DeadLetter> for OnCall {
    type Result = ();

    fn handle(&mut self, letter: DeadLetter, _: &mut Self::Context) {
        let (condition, attempts) = (letter.condition, letter.attempt_count);
        let reason = letter.failure().map_or("", |failure| &failure.message);
        println!(
            "received: {}, {condition} after {attempts} attempts: {reason}",
            letter.function
        );
        let _ = self.0.send(letter);
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // AWS waits one minute, then two. An example should not.
    let charge = Function::new("charge", charge).retry(RetryPolicy::fixed(2, Duration::ZERO));
    let runtime = Runtime::builder().function(charge).start().await?;
    let (client, dead_letters) = (runtime.client(), runtime.dead_letters());

    // Subscribe.
    let (tell, mut told) = mpsc::unbounded_channel();
    let on_call = OnCall(tell).start().recipient();
    dead_letters.send(Subscribe::new(on_call)).await?;
    client.invoke("charge", -500_i64).await?;
    let letter = told.recv().await.ok_or("the subscriber is gone")?;

    // List.
    let of_charge = List::new(Filter::new().function("charge"));
    for letter in dead_letters.send(of_charge).await?.letters {
        println!(
            "listed: {} with payload {}",
            letter.function,
            letter.payload.json()?
        );
    }

    // Repair.
    let cents: i64 = letter.payload.read()?;
    let payload = Payload::new(cents.abs())?;

    // Redrive: it becomes a new event, with a link to the letter.
    let redrive = Redrive::one(letter.request_id).payload(payload);
    for (letter, event) in dead_letters.send(redrive).await?.sent {
        println!("redriven: letter {letter} as event {event}");
        client.wait(event).await;
    }

    let left = dead_letters.send(List::new(Filter::new())).await?.total;
    let succeeded = client.stats().events.succeeded;
    println!("{left} dead letters left, {succeeded} event succeeded");
    let _ = runtime.shutdown(Duration::from_secs(30)).await;
    Ok(())
}
