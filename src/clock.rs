//! The only reader of time and the only source of chance, so that a test can own both.
//!
//! Time follows tokio's clock: under a paused tokio clock the whole runtime is deterministic.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use crate::time::Time;

#[derive(Clone, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    /// The wall clock at the origin, if the wall clock follows this one; the machine's own otherwise.
    wall: Option<SystemTime>,
    chance: Chance,
}

#[derive(Clone, Debug)]
enum Chance {
    /// The thread's cryptographic generator: request ids can't be guessed.
    Thread,
    /// One seed, one course of events.
    #[cfg_attr(
        not(feature = "testing"),
        allow(dead_code, reason = "the testing kit's")
    )]
    Seeded(Arc<Mutex<SmallRng>>),
}

impl Clock {
    pub(crate) fn real() -> Self {
        Self {
            origin: Instant::now(),
            wall: None,
            chance: Chance::Thread,
        }
    }

    /// A clock whose wall time starts at `wall` and whose chances follow `seed`.
    #[cfg_attr(
        not(feature = "testing"),
        allow(dead_code, reason = "the testing kit's")
    )]
    pub(crate) fn simulated(seed: u64, wall: SystemTime) -> Self {
        let chance = Chance::Seeded(Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))));
        Self {
            origin: Instant::now(),
            wall: Some(wall),
            chance,
        }
    }

    pub(crate) fn now(&self) -> Time {
        Time::default().after(Instant::now().saturating_duration_since(self.origin))
    }

    /// What the wall clock shows at `time`. The machine's clock may be set meanwhile: the present is exact,
    /// the past is counted back from it.
    pub(crate) fn wall(&self, time: Time) -> SystemTime {
        let (now, wall) = self.present();
        if time > now {
            wall + time.since(now)
        } else {
            wall.checked_sub(now.since(time)).unwrap_or(wall)
        }
    }

    /// The moment at which the wall clock shows `wall`, as far as can be told now.
    pub(crate) fn time(&self, wall: SystemTime) -> Time {
        let (now, present) = self.present();
        match wall.duration_since(present) {
            Ok(ahead) => now.after(ahead),
            Err(_) => now,
        }
    }

    fn present(&self) -> (Time, SystemTime) {
        let now = self.now();
        let wall = self.wall.map_or_else(SystemTime::now, |origin| {
            origin + now.since(Time::default())
        });
        (now, wall)
    }

    /// A random number from 0 to 1.
    pub(crate) fn chance(&self) -> f64 {
        match &self.chance {
            Chance::Thread => rand::rng().random(),
            Chance::Seeded(rng) => rng.lock().random(),
        }
    }

    /// Bits for a request id.
    pub(crate) fn random(&self) -> u128 {
        match &self.chance {
            Chance::Thread => rand::rng().random(),
            Chance::Seeded(rng) => rng.lock().random(),
        }
    }

    pub(crate) async fn sleep_until(&self, time: Time) {
        tokio::time::sleep_until(self.instant(time)).await;
    }

    pub(crate) fn instant(&self, time: Time) -> Instant {
        // A deadline that the clock can't express is as good as a century away.
        let far = Duration::from_secs(100 * 365 * 86_400);
        self.origin + time.since(Time::default()).min(far)
    }
}
