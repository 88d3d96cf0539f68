//! Damage: the bytes on the disk are not the ones that were written.

use super::world::World;
use super::{at, event, fetch, keep, open, tiny, virtual_time};
use crate::store::disk::simulated::SimulatedFolder;

/// After an orderly end, the whole log is known to be durable, so that any damage to it is noticed.
#[test]
fn damage_is_reported_or_harmless() {
    let (mut named, mut harmless) = (0, 0);
    for seed in 0..20 {
        virtual_time(|| {
            let mut world = World::new(seed + 40, tiny(2_048));
            assert!(world.open());
            world.run(70);
            world.close();
            let whole = world.files.killed();
            let right = world.read(&whole.killed()).unwrap();
            for chance in 0..500 {
                let damaged = whole.killed();
                let how = damaged.damage(seed * 1_000 + chance);
                match world.read(&damaged) {
                    Ok(found) => {
                        assert_eq!(found, right, "{how}");
                        harmless += 1;
                    }
                    Err(error) => {
                        let text = error.to_string();
                        assert!(text.contains("/simulated/"), "{how}: {text}");
                        named += 1;
                    }
                }
            }
        });
    }
    assert_eq!(named + harmless, 10_000);
    assert!(named > 8_000, "{named}");
}

/// After a crash, only damage behind the last `Synced` mark of the last segment can pass for a torn write.
#[test]
fn damage_before_the_last_mark_is_not_taken_for_a_torn_write() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(1 << 16), 0).unwrap();
        let name = "00000001.log";
        let mut before = 0;
        for number in 0..6 {
            before = files.lengths()[name];
            keep(&store, event("charge", &number.to_string(), at(0)));
        }
        let left = files.killed();
        let length = left.lengths()[name];
        for at_byte in 0..length as usize {
            let damaged = left.with(name, |bytes| bytes[at_byte] ^= 1);
            let opened = open(&damaged, &tiny(1 << 16), 0);
            let padding = at_byte < 128 && opened.is_ok();
            if (at_byte as u64) < before && !padding {
                let error = opened.err().unwrap_or_else(|| panic!("byte {at_byte}"));
                assert!(error.to_string().contains(name), "{error}");
            } else {
                let store = opened.unwrap();
                let found = fetch(&store, "charge", at(0)).unwrap().events;
                let found: Vec<_> = found
                    .iter()
                    .map(|event| event.payload.read::<u32>().unwrap())
                    .collect();
                assert!(found == [0, 1, 2, 3, 4] || found == [0, 1, 2, 3, 4, 5]);
            }
        }
    });
}

#[test]
fn damage_under_an_open_store_is_a_read_error_and_never_another_payload() {
    for seed in 0..300 {
        virtual_time(|| {
            let files = SimulatedFolder::new(seed);
            let store = open(&files, &tiny(2_048), 0).unwrap();
            let ids: Vec<_> = (0..30)
                .map(|number| {
                    let payload = format!(r#"[{number}, "{}"]"#, "x".repeat(40));
                    keep(&store, event("charge", &payload, at(number)))
                })
                .collect();
            drop(store);
            let store = open(&files, &tiny(2_048), 0).unwrap();
            let how = files.damage(seed);
            let fetched = fetch(&store, "charge", at(99)).unwrap();
            for event in &fetched.events {
                let (number, _) = event.payload.read::<(u64, String)>().unwrap();
                assert_eq!(event.accepted_at, at(number), "{how}");
                assert_eq!(event.request_id, ids[number as usize], "{how}");
            }
            for (_, error) in &fetched.unreadable {
                assert!(error.to_string().contains(".log"), "{how}: {error}");
            }
            assert_eq!(fetched.events.len() + fetched.unreadable.len(), 30, "{how}");
        });
    }
}
