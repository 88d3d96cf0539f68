//! Dead letters: an event fails for good, a subscriber hears of it, its payload is repaired, and it is redriven.
//!
//! Run it with `cargo run --example dead_letters`.
//!
//! Output:
//! ```text
//! attempt 1: charging anna
//! attempt 2: charging anna
//! attempt 3: charging anna
//! told: charge is dead, RetriesExhausted after 3 attempts: anna can't pay -5
//! listed: charge, payload {"customer":"anna","cents":-5}
//! …
//! attempt 1: charging anna
//! …
//! 0 dead letters left, 1 event succeeded
//! ```

use std::time::Duration;

use actix::prelude::*;
use redrive::*;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Serialize, Deserialize)]
struct Order {
    customer: String,
    cents: i64,
}

async fn charge(order: Event<Order>) -> Result<(), String> {
    let Order { customer, cents } = order.payload();
    println!("attempt {}: charging {customer}", order.context().attempt());
    if *cents < 0 {
        Err(format!("{customer} can't pay {cents}"))
    } else {
        Ok(())
    }
}

/// The actor that hears of every dead letter, each once and in order.
struct OnCall(mpsc::UnboundedSender<DeadLetter>);

impl Actor for OnCall {
    type Context = actix::Context<Self>;
}

impl actix::Handler<DeadLetter> for OnCall {
    type Result = ();

    fn handle(&mut self, letter: DeadLetter, _: &mut Self::Context) {
        let reason = letter
            .failure()
            .map_or("it never ran", |failure| &failure.message);
        let Letter {
            function,
            condition,
            attempt_count,
            ..
        } = &*letter;
        println!("told: {function} is dead, {condition} after {attempt_count} attempts: {reason}");
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
    dead_letters
        .send(Subscribe::new(OnCall(tell).start().recipient()))
        .await?;
    client
        .invoke(
            "charge",
            Order {
                customer: "anna".to_owned(),
                cents: -5,
            },
        )
        .await?;
    let letter = told.recv().await.ok_or("the subscriber went away")?;

    // List.
    let page = dead_letters
        .send(List::new(Filter::new().function("charge")))
        .await?;
    for letter in &page.letters {
        println!(
            "listed: {}, payload {}",
            letter.function,
            letter.payload.json()?
        );
    }

    // Repair.
    let mut order: Order = letter.payload.read()?;
    order.cents = order.cents.abs();

    // Redrive: a new event, with a link to the letter.
    let redrive = Redrive::one(letter.request_id).payload(Payload::new(order)?);
    let redriven = dead_letters.send(redrive).await?;
    println!(
        "redriven: {} sent, {} refused",
        redriven.sent.len(),
        redriven.refused.len()
    );
    for (_, event) in redriven.sent {
        client.wait(event).await;
    }
    let left = dead_letters.send(List::new(Filter::new())).await?.total;
    println!(
        "{left} dead letters left, {} event succeeded",
        client.stats().events.succeeded
    );
    let _ = runtime.shutdown(Duration::from_secs(30)).await;
    Ok(())
}
