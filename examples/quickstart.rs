//! The first program: a function, an event, and an end in good order.
//!
//! Run it with `cargo run --example quickstart`.
//!
//! Output:
//! ```text
//! thumbnail of cat.jpg, attempt 1
//! 0 events unfinished
//! ```

use redrive::{Event, Function, Runtime};
use std::time::Duration;

async fn thumbnail(event: Event<String>) -> Result<(), std::io::Error> {
    println!(
        "thumbnail of {}, attempt {}",
        *event,
        event.context().attempt()
    );
    Ok(())
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let thumbnail = Function::new("thumbnail", thumbnail).concurrency(8);
    let runtime = Runtime::builder().function(thumbnail).start().await?;
    let receipt = runtime
        .client()
        .invoke("thumbnail", "cat.jpg".to_owned())
        .await?;
    runtime.client().wait(receipt.request_id).await;
    let report = runtime.shutdown(Duration::from_secs(30)).await;
    println!("{} events unfinished", report.unfinished.len());
    Ok(())
}
