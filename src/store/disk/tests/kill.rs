//! The death of the process at every call to the disk.

use super::world::{After, World};
use super::{tiny, virtual_time};
use crate::store::disk::simulated::DiskCall;

/// Returns the same past of a store every time; [`World::fork`] continues from there.
pub(super) fn past(seed: u64) -> World {
    let mut world = World::new(seed, tiny(2_048));
    assert!(world.open());
    world.run(60);
    world.end();
    world
}

/// The steps that follow the past.
pub(super) const STEPS: usize = 120;

/// Returns the number of disk calls of these steps.
pub(super) fn calls(past: &World) -> Vec<DiskCall> {
    virtual_time(|| {
        let mut world = past.fork();
        let before = world.files.history().len();
        world.run(STEPS);
        world.files.history().split_off(before)
    })
}

#[test]
fn a_death_at_any_call_loses_no_acknowledged_event_and_splits_no_batch() {
    let mut points = 0;
    for seed in 0..3 {
        let course = virtual_time(|| past(seed));
        let calls = calls(&course);
        assert!(calls.contains(&DiskCall::Remove), "it tidies up");
        for nth in 1..=calls.len() as u64 {
            virtual_time(|| {
                let mut world = course.fork();
                world.files.kill_at(nth);
                world.run(STEPS);
                assert!(world.files.is_dead());
                world.abandon();
                let hint = format!("seed {seed}, call {nth}");
                world.check(&world.files.killed(), After::Kill, &hint);
            });
            points += 1;
        }
    }
    assert!(points >= 500, "{points}");
}

#[test]
fn a_death_while_the_store_opens_changes_nothing() {
    for seed in 0..3 {
        virtual_time(|| {
            let mut world = past(seed).fork();
            world.run(60);
            world.abandon();
            let left = world.files.killed();
            for nth in 1.. {
                let next = left.killed();
                next.kill_at(nth);
                let opened = super::open(&next, &tiny(2_048), world.now());
                let died = next.is_dead();
                next.kill_at(1);
                drop(opened);
                let hint = format!("seed {seed}, call {nth}");
                world.check(&next.killed(), After::Kill, &hint);
                world.check(&next.power_cut(nth), After::PowerCut, &hint);
                if !died {
                    assert!(nth > 10);
                    break;
                }
            }
        });
    }
}

#[test]
fn a_process_death_is_counted_once() {
    virtual_time(|| {
        let mut world = World::new(1, tiny(2_048));
        assert!(world.open());
        let id = super::keep(world.store(), super::event("charge", "1", super::at(0)));
        use crate::store::EventStore;
        world.store().begin(0, &[id]).unwrap();
        world.abandon();
        let left = world.files.killed();
        for nth in 1.. {
            let next = left.killed();
            next.kill_at(nth);
            let opened = super::open(&next, &tiny(2_048), 0);
            let died = next.is_dead();
            next.kill_at(1);
            drop(opened);
            let store = super::open(&next.killed(), &tiny(2_048), 0).unwrap();
            let fetched = super::fetch(&store, "charge", super::at(9)).unwrap();
            assert_eq!(fetched.events[0].deaths, 1, "call {nth}");
            if !died {
                break;
            }
        }
    });
}
