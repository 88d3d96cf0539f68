//! What the store says after it was opened again is what it said before.

use super::world::{After, World};
use super::{tiny, virtual_time};

/// The reference is a map; segments are so small that they are sealed, removed and moved all the time.
#[test]
fn store_equals_its_model_after_every_opening() {
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
