//! The process is killed.

use super::world::{After, World};
use super::{tiny, virtual_time};

/// Wherever it dies, also while it opens what another left.
#[test]
fn nothing_acknowledged_is_lost_and_nothing_half_is_found_wherever_the_process_dies() {
    let mut points = 0;
    for seed in 0..4 {
        let calls = virtual_time(|| {
            let mut world = course(seed);
            world.run(150);
            world.files.calls(super::super::simulated::Call::Any)
        });
        for nth in 1..=calls {
            points += usize::from(virtual_time(|| kill_at(seed, nth)));
        }
    }
    assert!(points >= 500, "{points}");
}

/// A store with a past.
fn course(seed: u64) -> World {
    let mut world = World::new(seed, tiny(2_048));
    assert!(world.open());
    world.run(100);
    world.restart();
    world
}

fn kill_at(seed: u64, nth: u64) -> bool {
    let mut world = course(seed);
    // Calls of the opening count from 1, as they did when they were counted.
    let opened = world.files.calls(super::super::simulated::Call::Any);
    if nth <= opened {
        return false;
    }
    world.files.kill_at(nth - opened);
    world.run(150);
    world.abandon();
    world.check(
        &world.files.killed(),
        After::Kill,
        &format!("seed {seed}, call {nth}"),
    );
    true
}

#[test]
fn a_process_that_dies_while_it_opens_changes_nothing() {
    for seed in 0..4 {
        virtual_time(|| {
            let mut world = course(seed);
            world.run(60);
            world.abandon();
            let left = world.files.killed();
            for nth in 1.. {
                let next = left.killed();
                next.kill_at(nth);
                let opened = super::open(&next, &tiny(2_048), world.now());
                let died = next.is_dead();
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
