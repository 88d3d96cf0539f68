//! The store has the same events before and after it is opened again.

use super::world::{After, World};
use super::{tiny, virtual_time};

/// The reference is a map. The segments are so small that they are closed, removed and moved all the time.
#[test]
fn the_store_equals_its_model_after_every_opening() {
    for seed in 0..12 {
        virtual_time(|| {
            let mut world = World::new(seed, tiny([1_024, 4_096, 1 << 16][seed as usize % 3]));
            assert!(world.open());
            for round in 0..8 {
                world.run(120);
                world.restart();
                let hint = format!("seed {seed}, round {round}");
                world.check(&world.files.killed(), After::Rest, &hint);
            }
        });
    }
}
