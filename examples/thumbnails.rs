//! The main job on real input: a photograph arrives, an event is sent, and a function writes the thumbnail and a row
//! (name, width, height, bytes, dominant colour) to an SQLite database. An upload that broke off is tried three
//! times, becomes a dead letter, is repaired and redriven.
//!
//! Run it with `cargo run --release --example thumbnails`. For JPEG and PNG photographs of your own:
//! `cargo run --release --example thumbnails -- FOLDER --out FOLDER`. Without `--out` they go to `target/thumbnails`.
//! With `--features disk` and `--data FOLDER` the events are kept in a folder, and the next process finishes the rest.
//!
//! Output:
//! ```text
//! …
//! dead letter broken.jpg: RetriesExhausted
//!   attempt 1: Format error decoding Jpeg: I/O errors Not enough bytes, expected 64 but found 56
//!   attempt 2: Format error decoding Jpeg: I/O errors Not enough bytes, expected 64 but found 56
//!   attempt 3: Format error decoding Jpeg: I/O errors Not enough bytes, expected 64 but found 56
//! …
//! file                 result           attempts size       colour
//! …
//! astronaut.jpg        thumbnail        1        512x512    #040202
//! broken.jpg           thumbnail        3 + 1    600x400    #ae2d10
//! …
//! rocket.jpg           thumbnail        1        640x427    #283552
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use actix::prelude::*;
use image::{DynamicImage, ImageReader, Rgb};
use indicatif::ProgressBar;
use redrive::{Builder, DeadLetter, Event, Final, Function, Payload, Redrive, RetryPolicy};
use redrive::{Runtime, Shutdown, Status, Subscribe};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const HOUR: Duration = Duration::from_secs(3600);
const CREATE: &str = "CREATE TABLE IF NOT EXISTS thumbnails
    (name TEXT PRIMARY KEY, width INT, height INT, bytes INT, colour TEXT)";
const INSERT: &str = "INSERT OR REPLACE INTO thumbnails VALUES (?1, ?2, ?3, ?4, ?5)";

type AnyError = Box<dyn Error + Send + Sync>;

/// The photograph `key` has arrived; its bytes are in `file`.
#[derive(Serialize, Deserialize)]
struct ObjectCreated {
    key: String,
    file: PathBuf,
}

/// The result of the function: `512x512` and `#dcdad8`.
#[derive(Default, Serialize, Deserialize)]
struct Photograph {
    size: String,
    colour: String,
}

/// An event may run twice; the second run overwrites the result of the first.
fn thumbnail(
    job: &ObjectCreated,
    out: &Path,
    db: &Mutex<Connection>,
) -> Result<Photograph, AnyError> {
    let reader = ImageReader::open(&job.file)?.with_guessed_format()?;
    // No retry makes a photograph of a text.
    let format = reader.format().ok_or(Final::new("is not a photograph"))?;
    let image = reader.decode()?;
    let small = image.thumbnail(160, 160);
    small.save_with_format(out.join(&job.key), format)?;
    let (width, height, colour) = (image.width(), image.height(), dominant_colour(&small));
    let bytes = job.file.metadata()?.len() as i64;
    let db = db
        .lock()
        .map_err(|_| "the database is in an unknown state")?;
    db.execute(INSERT, (&job.key, width, height, bytes, &colour))?;
    let size = format!("{width}x{height}");
    Ok(Photograph { size, colour })
}

/// The mean of the pixels in the fullest of 512 boxes of similar colours.
fn dominant_colour(image: &DynamicImage) -> String {
    let mut boxes = HashMap::<[u8; 3], Vec<[u8; 3]>>::new();
    for Rgb(pixel) in image.to_rgb8().pixels() {
        boxes
            .entry(pixel.map(|channel| channel / 32))
            .or_default()
            .push(*pixel);
    }
    let fullest = boxes
        .into_iter()
        .max_by_key(|(place, pixels)| (pixels.len(), *place));
    let (_, pixels) = fullest.unwrap_or_default();
    let sum = |channel: usize| {
        pixels
            .iter()
            .map(|pixel| usize::from(pixel[channel]))
            .sum::<usize>()
    };
    let [red, green, blue] = [0, 1, 2].map(|channel| sum(channel) / pixels.len().max(1));
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Subscribes to dead letters, prints them, and reports each as printed.
struct Witness(ProgressBar, UnboundedSender<()>);

impl Actor for Witness {
    type Context = Context<Self>;
}

impl Handler<DeadLetter> for Witness {
    type Result = ();

    fn handle(&mut self, letter: DeadLetter, _: &mut Self::Context) {
        self.0.suspend(|| {
            let key = letter
                .payload
                .read()
                .map_or(String::new(), |job: ObjectCreated| job.key);
            println!("dead letter {key}: {}", letter.condition);
            for attempt in &letter.attempts {
                let failure = attempt.failure.message.trim_end();
                println!("  attempt {}: {failure}", attempt.number);
            }
        });
        let _ = self.1.send(());
    }
}

/// `broken.jpg` is a part of `coffee.jpg`, says `SOURCES.md`.
fn repair(letter: &DeadLetter) -> Option<ObjectCreated> {
    let ObjectCreated { key, file } = letter.payload.read().ok()?;
    let whole = file.with_file_name("coffee.jpg");
    let known = file.ends_with("broken.jpg") && whole.exists();
    known.then_some(ObjectCreated { key, file: whole })
}

/// Photographs from, thumbnails to, and where events are kept, if anywhere.
fn folders() -> Result<(PathBuf, PathBuf, Option<PathBuf>), AnyError> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut from, mut to) = (home.join("examples/data"), home.join("target/thumbnails"));
    let mut data = None;
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--out") => to = arguments.next().ok_or("--out wants a folder")?.into(),
            Some("--data") => data = Some(arguments.next().ok_or("--data wants a folder")?.into()),
            _ => from = argument.into(),
        }
    }
    std::fs::create_dir_all(&to)?;
    if from.canonicalize().ok() == to.canonicalize().ok() {
        return Err("the thumbnails would overwrite the photographs".into());
    }
    Ok((from, to, data))
}

/// Keeps events in a folder.
fn durable(builder: Builder, folder: PathBuf) -> Result<Builder, AnyError> {
    #[cfg(feature = "disk")]
    return Ok(builder.disk(folder));
    #[cfg(not(feature = "disk"))]
    {
        drop(builder);
        let folder = folder.display();
        Err(format!("to keep events in `{folder}`, add `--features disk` before the `--`").into())
    }
}

#[actix::main]
async fn main() -> Result<(), AnyError> {
    let (from, to, data) = folders()?;
    let mut files = std::fs::read_dir(&from)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, AnyError>>()?;
    files.retain(|file| file.is_file());
    files.sort();

    let db = Connection::open(to.join("thumbnails.sqlite"))?;
    db.execute_batch(CREATE)?;
    let db = Mutex::new(db);
    let run = move |event: Event<_>| thumbnail(&event, &to, &db);
    let function = Function::blocking("thumbnail", run)
        .timeout(Duration::from_secs(60))
        .retry(RetryPolicy::delays([200, 400].map(Duration::from_millis)))
        // So that `wait` knows how each of them ended, however many there are.
        .retain(2 * files.len() as u32, HOUR, 1 << 30);
    let mut builder = Runtime::builder().function(function);
    if let Some(folder) = data {
        builder = durable(builder, folder)?;
    }
    let runtime = builder.start().await?;
    let (client, dead_letters) = (runtime.client(), runtime.dead_letters());
    match client.stats().events.pending() {
        0 => {}
        left => println!("{left} photographs are left from last time"),
    }

    let progress = ProgressBar::new(files.len() as u64);
    let (told, mut letters) = unbounded_channel();
    let witness = Witness(progress.clone(), told).start().recipient();
    dead_letters.send(Subscribe::new(witness)).await?;

    let mut sent = Vec::new();
    for file in files {
        let key = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let event = ObjectCreated {
            key: key.clone(),
            file,
        };
        sent.push((key, client.invoke("thumbnail", event).await?.request_id));
    }

    let mut table = vec![["file", "result", "attempts", "size", "colour"].map(str::to_owned)];
    for (key, id) in sent {
        let (mut end, mut before) = (client.wait(id).await, String::new());
        if let Some(Status::Dead(letter)) = &end {
            letters.recv().await;
            if let Some(repaired) = repair(letter) {
                before = format!("{} + ", letter.attempt_count);
                let redrive = Redrive::one(id).payload(Payload::new(repaired)?);
                for (_, event) in dead_letters.send(redrive).await?.sent {
                    end = client.wait(event).await;
                }
            }
        }
        let (result, attempts, photograph) = match end {
            Some(Status::Succeeded { result, attempts }) => {
                ("thumbnail".to_owned(), attempts, result.read()?)
            }
            Some(Status::Dead(letter)) => (
                letter.condition.to_string(),
                letter.attempt_count,
                Photograph::default(),
            ),
            other => return Err(format!("{key}: {other:?}").into()),
        };
        let Photograph { size, colour } = photograph;
        table.push([key, result, format!("{before}{attempts}"), size, colour]);
        progress.inc(1);
    }
    progress.finish();
    for [file, result, attempts, size, colour] in table {
        println!("{file:20} {result:16} {attempts:8} {size:10} {colour}");
    }
    let rest = Shutdown::new(Duration::from_secs(30)).drain_mailboxes();
    let _ = runtime.shutdown(rest).await;
    Ok(())
}
