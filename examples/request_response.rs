//! Request and response: the caller waits for the result. One attempt, no retry, no dead letter.
//!
//! Run it with `cargo run --example request_response`.
//!
//! Output:
//! ```text
//! 3 nights cost 360 euros
//! failed: a stay of 0 nights has no price
//! refused: function `cost` is not registered
//! would be accepted
//! 0 dead letters
//! ```

use std::time::Duration;

use redrive::{CallError, Event, Filter, Function, Invoke, List, Runtime};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Stay {
    nights: u32,
}

#[derive(Serialize, Deserialize)]
struct Price {
    euros: u32,
}

async fn price(stay: Event<Stay>) -> Result<Price, String> {
    match stay.nights {
        0 => Err("a stay of 0 nights has no price".to_owned()),
        nights => Ok(Price {
            euros: nights * 120,
        }),
    }
}

fn explain(error: CallError) -> String {
    match error {
        // The function ran and failed.
        CallError::Failed(failure) => format!("failed: {}", failure.message),
        // It did not run.
        CallError::Refused(refusal) => format!("refused: {refusal}"),
        other => other.to_string(),
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::builder()
        .function(Function::new("price", price))
        .start()
        .await?;
    let client = runtime.client();

    let price: Price = client.call("price", Stay { nights: 3 }).await?;
    println!("3 nights cost {} euros", price.euros);

    if let Err(error) = client.call::<Price>("price", Stay { nights: 0 }).await {
        println!("{}", explain(error));
    }
    if let Err(error) = client.call::<Price>("cost", Stay { nights: 3 }).await {
        println!("{}", explain(error));
    }

    // Asks whether an event would be accepted, and keeps nothing.
    client.dry_run(Invoke::event("price", Stay { nights: 3 }))?;
    println!("would be accepted");

    let letters = runtime
        .dead_letters()
        .send(List::new(Filter::new()))
        .await?;
    println!("{} dead letters", letters.total);
    let _ = runtime.shutdown(Duration::from_secs(30)).await;
    Ok(())
}
