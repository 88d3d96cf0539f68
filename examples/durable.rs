//! Work that outlives the process: the next start finishes the accepted events.
//!
//! Run it with `cargo run --features disk --example durable`, kill it while it works (Ctrl-C, or `kill -9`), and run it again.
//! Events are kept in `target/durable`; in another folder with `-- FOLDER`.
//!
//! The next start then begins with `13 photographs are left from last time`, or however many there are, and goes on.
//!
//! Output:
//! ```text
//! 20 photographs accepted, and on the disk
//! developed … of 20
//! …
//! all are developed
//! ```

use std::path::PathBuf;
use std::time::Duration;

use redrive::{Event, Function, Runtime};

const PHOTOGRAPHS: u32 = 20;

/// A photograph that was developed just before the kill may be developed once more: a handler must not mind.
async fn develop(number: Event<u32>) -> Result<(), String> {
    tokio::time::sleep(Duration::from_millis(300)).await;
    println!("developed {} of {PHOTOGRAPHS}", *number);
    Ok(())
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1);
    let folder = folder.map_or(PathBuf::from("target/durable"), PathBuf::from);
    let runtime = Runtime::builder()
        .disk(folder)
        .function(Function::new("develop", develop).concurrency(2))
        // An event that runs whenever the process dies is given up in the end. Here it isn't to blame: you are.
        .process_deaths_max(100)
        .start()
        .await?;
    let client = runtime.client();

    match client.stats().events.pending() {
        0 => {
            // With the receipts, the caller may drop the photographs.
            client.invoke_batch("develop", 1..=PHOTOGRAPHS).await?;
            println!("{PHOTOGRAPHS} photographs accepted, and on the disk");
        }
        left => println!("{left} photographs are left from last time"),
    }

    while client.stats().events.pending() > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("all are developed");
    let _ = runtime.shutdown(Duration::from_secs(30)).await;
    Ok(())
}
