//! NATS JetStream with file storage, in a server process of its own on the loopback interface: published and acknowledged,
//! pulled, run and acknowledged. The stream is a work queue, so what is acknowledged is removed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use futures_util::StreamExt;

use crate::{CALLERS, Job, Result, on_all_threads, rate, shared};

const ADDRESS: &str = "127.0.0.1:14222";

pub fn always(folder: &Path, time: Duration) -> Result<Option<f64>> {
    run(folder, "sync_interval: always", time)
}

pub fn by_default(folder: &Path, time: Duration) -> Result<Option<f64>> {
    run(folder, "", time)
}

/// Stops the server when it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended by itself
        let _ = self.0.wait();
    }
}

/// The server, or `None` and a word on why there is none.
fn server(folder: &Path, sync: &str) -> Result<Option<Server>> {
    let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".to_owned());
    let config = folder.join("nats.conf");
    let store = folder.join("jetstream");
    std::fs::write(
        &config,
        format!("listen: \"{ADDRESS}\"\njetstream {{ store_dir: {store:?}\n{sync} }}\n"),
    )?;
    match Command::new(&program)
        .arg("-t")
        .arg("-c")
        .arg(&config)
        .output()
    {
        Err(error) => {
            eprintln!("NATS is left out: `{program}` can't be run: {error}");
            return Ok(None);
        }
        Ok(output) if !output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            eprintln!("NATS is left out: `{program}` is too old: {said}");
            return Ok(None);
        }
        Ok(_) => {}
    }
    let server = Command::new(&program)
        .arg("-c")
        .arg(&config)
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Some(Server(server)))
}

fn run(folder: &Path, sync: &str, time: Duration) -> Result<Option<f64>> {
    let Some(_server) = server(folder, sync)? else {
        return Ok(None);
    };
    on_all_threads(async {
        let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
        let mut context = jetstream::new(options.connect(ADDRESS).await?);
        context.set_timeout(Duration::from_secs(60));
        let config = Config {
            name: "jobs".to_owned(),
            subjects: vec!["job".to_owned()],
            retention: RetentionPolicy::WorkQueue,
            ..Config::default()
        };
        let stream = loop {
            // The server may still be starting.
            match context.create_stream(config.clone()).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        let counter = pull::Config {
            durable_name: Some("counter".to_owned()),
            max_ack_pending: 100_000,
            ..pull::Config::default()
        };
        let counter = stream.create_consumer(counter).await?;
        let mut jobs = counter
            .stream()
            .max_messages_per_batch(1_000)
            .messages()
            .await?;
        let tally = shared();
        let counted = tally.clone();
        let worker = tokio::spawn(async move {
            while let Some(Ok(message)) = jobs.next().await {
                if let Ok(job) = serde_json::from_slice::<Job>(&message.payload) {
                    counted.count(&job);
                }
                let _ = message.ack().await; // what isn't acknowledged comes again
            }
        });
        let context = &context;
        let rate = rate(&tally, time, CALLERS, async |number| {
            let json = serde_json::to_vec(&Job::new(number))?;
            context.publish("job", json.into()).await?.await?;
            Ok(())
        });
        let rate = rate.await?;
        worker.abort();
        Ok(Some(rate))
    })
}
