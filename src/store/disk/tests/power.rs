//! The loss of power: of the unsynced changes, any sectors, lengths and names are on the disk.

use super::kill::{STEPS, calls, past};
use super::world::After;
use super::{at, keep, open, tiny, virtual_time};
use crate::store::disk::simulated::DiskCall;

/// Cuts the power before and after every sync and at every fifth of the other calls, and once more after the next opening.
#[test]
fn durable_events_survive_the_loss_of_power() {
    for seed in 10..13 {
        let past = virtual_time(|| past(seed));
        let calls = calls(&past);
        let syncs = |at: usize| calls.get(at) == Some(&DiskCall::Sync);
        let points = (0..calls.len()).filter(|&at| {
            syncs(at) || at.checked_sub(1).is_some_and(syncs) || at % 5 == seed as usize % 5
        });
        for point in points {
            virtual_time(|| {
                let mut world = past.fork();
                world.files.kill_at(point as u64 + 1);
                world.run(STEPS);
                assert!(world.files.is_dead());
                world.abandon();
                for chance in 0..2 {
                    let hint = format!("seed {seed}, call {point}, chance {chance}");
                    let left = world.files.power_cut(chance);
                    world.check(&left.killed(), After::PowerCut, &hint);
                    drop(open(&left, &tiny(2_048), world.now()).unwrap());
                    let left = left.power_cut(chance + 1);
                    world.check(&left, After::PowerCut, &format!("{hint}, twice"));
                }
            });
        }
    }
}

/// The process is killed before a sync, the next one counts the unsynced records, and then the power fails.
#[test]
fn unsynced_records_of_a_killed_process_are_synced_at_the_opening() {
    virtual_time(|| {
        for seed in 0..50 {
            let files = super::SimulatedFolder::new(seed);
            let store = open(&files, &tiny(1 << 16), 0).unwrap();
            let mut event = super::event("charge", &format!("\"{}\"", "x".repeat(3_000)), at(0));
            event.durability = crate::event::Durability::DiskInterval(super::EPOCH);
            keep(&store, event);
            let files = super::kill(store, &files);
            let store = open(&files, &tiny(1 << 16), 0).unwrap();
            keep(&store, super::event("charge", "1", at(0)));
            let left = files.power_cut(seed);
            let store = open(&left, &tiny(1 << 16), 0).unwrap();
            let fetched = super::fetch(&store, "charge", at(0)).unwrap();
            assert_eq!(fetched.events.len(), 2, "seed {seed}");
        }
    });
}
