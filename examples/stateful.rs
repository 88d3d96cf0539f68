//! A stateful function: each worker owns a state, built by `init`, and a panic costs the state, not the event.
//!
//! Run it with `cargo run --example stateful`. The panic's message goes to stderr.
//!
//! Output:
//! ```text
//! connection 1 opened
//! connection 1 wrote "a", its line 1
//! connection 1 wrote "b", its line 2
//! connection 1 loses its mind over "poison"
//! connection 2 opened
//! connection 2 wrote "poison", its line 1
//! connection 2 wrote "c", its line 2
//! 4 events succeeded, 1 worker restarted
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redrive::{Event, Function, RetryPolicy, Runtime, Stateful};

/// The state that a worker keeps from one event to the next.
struct Connection {
    number: u32,
    lines: u32,
}

impl Stateful for Connection {
    type Payload = String;
    type Output = ();
    type Error = std::io::Error;

    async fn handle(&mut self, line: Event<String>) -> Result<(), Self::Error> {
        if line.payload() == "poison" && line.context().attempt() == 1 {
            println!("connection {} loses its mind over {:?}", self.number, *line);
            panic!("as it is written");
        }
        self.lines += 1;
        println!(
            "connection {} wrote {:?}, its line {}",
            self.number, *line, self.lines
        );
        Ok(())
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let opened = Arc::new(AtomicU32::new(0));
    let init = move || {
        let opened = opened.clone();
        async move {
            let number = opened.fetch_add(1, Ordering::Relaxed) + 1;
            println!("connection {number} opened");
            Ok::<_, std::io::Error>(Connection { number, lines: 0 })
        }
    };
    // One worker, so that there is one connection at a time. Retried at once.
    let write = Function::stateful("write", init)
        .concurrency(1)
        .retry(RetryPolicy::fixed(2, Duration::ZERO));
    let runtime = Runtime::builder().function(write).start().await?;
    let client = runtime.client();

    for line in ["a", "b", "poison", "c"] {
        let receipt = client.invoke("write", line.to_owned()).await?;
        client.wait(receipt.request_id).await;
    }

    let stats = client.stats();
    println!(
        "{} events succeeded, {} worker restarted",
        stats.events.succeeded, stats.restarts
    );
    let _ = runtime.shutdown(Duration::from_secs(30)).await;
    Ok(())
}
