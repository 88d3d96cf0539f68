//! apalis on SQLite, in WAL mode. `SqliteStorage::setup` turns syncing off; here every commit is synced.
//!
//! A push is a transaction, so a caller of its own costs a sync of its own. Whoever has many jobs at hand can push them
//! together; one caller that does stands beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::{BackendExt, Data, TaskSink, WorkerBuilder};
use apalis_sqlite::{Config, SqliteConnectOptions, SqlitePoolOptions, SqliteStorage};

use crate::{CALLERS, Job, Result, Tally, on_all_threads, rate, shared};

/// A worker that found nothing looks again after this; unless told, it sleeps for seconds.
const POLL: Duration = Duration::from_millis(1);

async fn count(job: Job, tally: Data<Arc<Tally>>) {
    tally.count(&job);
}

async fn storage(folder: &Path) -> Result<SqliteStorage<Job>> {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("jobs.db"))
        .create_if_missing(true)
        .pragma("journal_mode", "WAL")
        .pragma("synchronous", "FULL")
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", "64000")
        .busy_timeout(Duration::from_secs(60));
    // SQLite has one writer at a time. With two, one of them is told now and then that the database is locked, and apalis
    // gives up.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(600))
        .connect_with(options)
        .await?;
    SqliteStorage::migrations().run(&pool).await?;
    let config = Config {
        batch_size: 1_000,
        ..Config::default()
    };
    Ok(SqliteStorage::new(&pool).with_config(config))
}

pub fn one_by_one(folder: &Path, time: Duration) -> Result<Option<f64>> {
    on_all_threads(async {
        let (storage, tally) = (storage(folder).await?, shared());
        let worker = WorkerBuilder::new("counter")
            .backend(storage.clone().poll_with_interval(POLL))
            .data(tally.clone())
            .build(count);
        let worker = tokio::spawn(worker.run());
        let rate = rate(&tally, time, CALLERS, |number| {
            let mut storage = storage.clone();
            async move { Ok(storage.push(Job::new(number)).await?) }
        });
        let rate = rate.await?;
        worker.abort();
        Ok(Some(rate))
    })
}

pub fn in_bulk(folder: &Path, time: Duration) -> Result<Option<f64>> {
    on_all_threads(async {
        let (storage, tally) = (storage(folder).await?, shared());
        let worker = WorkerBuilder::new("counter")
            .backend(storage.clone().poll_with_interval(POLL))
            .data(tally.clone())
            .build(count);
        let worker = tokio::spawn(worker.run());
        let rate = rate(&tally, time, 1, |number| {
            let mut storage = storage.clone();
            async move {
                let jobs = (0..CALLERS as u64).map(|caller| Job::new(number + caller));
                Ok(storage.push_bulk(jobs.collect()).await?)
            }
        });
        let rate = rate.await?;
        worker.abort();
        Ok(Some(rate))
    })
}
