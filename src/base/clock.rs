//! The clock of a runtime: the only reader of time and the only source of random numbers, so that a test controls both.
//!
//! Time follows tokio's clock: under a paused tokio clock the whole runtime is deterministic.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use crate::base::time::Time;

#[derive(Clone, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    /// The time at the origin.
    start: Time,
    wall: Wall,
    /// A simulated boot of the machine: its id, and its uptime at an instant.
    boot: Option<(u128, Duration, Instant)>,
    chance: Chance,
}

#[derive(Clone, Debug)]
enum Wall {
    /// The machine's clock, which its operator may set.
    Machine,
    /// This clock plus so many nanoseconds, which a test may set.
    #[cfg_attr(
        not(feature = "testing"),
        allow(dead_code, reason = "only the feature `testing` uses it")
    )]
    Simulated(Arc<AtomicI64>),
}

#[derive(Clone, Debug)]
enum Chance {
    /// The thread's cryptographic generator: request ids can't be guessed.
    Thread,
    /// A seeded generator: the same seed gives the same run.
    #[cfg_attr(
        not(feature = "testing"),
        allow(dead_code, reason = "only the feature `testing` uses it")
    )]
    Seeded(Arc<Mutex<SmallRng>>),
}

impl Clock {
    pub(crate) fn real() -> Self {
        Self {
            origin: Instant::now(),
            start: Time::of(SystemTime::now()),
            wall: Wall::Machine,
            boot: None,
            chance: Chance::Thread,
        }
    }

    /// Returns a clock whose wall time starts at `wall` and whose random numbers follow `seed`.
    #[cfg_attr(
        not(feature = "testing"),
        allow(dead_code, reason = "only the feature `testing` uses it")
    )]
    pub(crate) fn simulated(seed: u64, wall: SystemTime) -> Self {
        let chance = Chance::Seeded(Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))));
        Self {
            origin: Instant::now(),
            start: Time::of(wall),
            wall: Wall::Simulated(Arc::default()),
            boot: None,
            chance,
        }
    }

    /// Returns whether time is virtual.
    pub(crate) fn is_simulated(&self) -> bool {
        matches!(self.wall, Wall::Simulated(_))
    }

    /// Returns the same clock on a machine that booted `uptime` ago.
    #[cfg(all(test, feature = "disk"))] // for the tests of the disk store
    pub(crate) fn booted(self, id: u128, uptime: Duration) -> Self {
        Self {
            boot: Some((id, uptime, Instant::now())),
            ..self
        }
    }

    /// Returns the same clock, set to `time`.
    pub(crate) fn set(self, time: Time) -> Self {
        Self {
            origin: Instant::now(),
            start: time,
            ..self
        }
    }

    /// Sets the wall clock, if it is simulated. `now` does not change.
    #[cfg_attr(
        not(feature = "testing"),
        allow(dead_code, reason = "only the feature `testing` uses it")
    )]
    pub(crate) fn set_wall(&self, wall: SystemTime) {
        if let Wall::Simulated(ahead) = &self.wall {
            let (now, wall) = (i128::from(self.now().0), i128::from(Time::of(wall).0));
            let by = (wall - now).clamp(i64::MIN.into(), i64::MAX.into()) as i64;
            ahead.store(by, Ordering::Relaxed);
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.start
            .after(Instant::now().saturating_duration_since(self.origin))
    }

    /// Returns the wall-clock time at `time`. Because the machine's clock may be set, it is computed from the present wall
    /// clock, backwards for the past.
    pub(crate) fn wall(&self, time: Time) -> SystemTime {
        let (now, wall) = self.present();
        if time > now {
            wall.checked_add(time.since(now)).unwrap_or(wall)
        } else {
            wall.checked_sub(now.since(time)).unwrap_or(wall)
        }
    }

    /// Returns the time at which the wall clock shows `wall`, if it is not set meanwhile. It may have passed.
    pub(crate) fn time(&self, wall: SystemTime) -> Time {
        let (now, present) = self.present();
        match wall.duration_since(present) {
            Ok(ahead) => now.after(ahead),
            Err(behind) => now.before(behind.duration()),
        }
    }

    /// Returns the time at which the wall clock will show `wall`, or `None` if it has passed.
    pub(crate) fn until(&self, wall: SystemTime) -> Option<Time> {
        let (now, present) = self.present();
        let ahead = wall.duration_since(present).ok()?;
        (!ahead.is_zero()).then(|| now.after(ahead))
    }

    fn present(&self) -> (Time, SystemTime) {
        let now = self.now();
        let wall = match &self.wall {
            Wall::Machine => SystemTime::now(),
            Wall::Simulated(ahead) => {
                let ahead = ahead.load(Ordering::Relaxed);
                let by = Duration::from_nanos(ahead.unsigned_abs());
                match ahead < 0 {
                    true => now.before(by).stored(),
                    false => now.after(by).stored(),
                }
            }
        };
        (now, wall)
    }

    /// Returns the id of the machine's boot and the time since: a clock that can't be set. `None` where the machine has no
    /// such clock, or time is simulated.
    #[cfg_attr(
        not(feature = "disk"),
        allow(dead_code, reason = "only the disk store uses it")
    )]
    pub(crate) fn boot(&self) -> Option<(u128, Duration)> {
        if let Some((id, uptime, then)) = self.boot {
            return Some((id, uptime + Instant::now().saturating_duration_since(then)));
        }
        if let Wall::Simulated(_) = self.wall {
            return None;
        }
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let id = id.trim().parse::<uuid::Uuid>().ok()?.as_u128();
        Some((id, uptime()?))
    }

    /// Returns a random number from 0 to 1.
    pub(crate) fn chance(&self) -> f64 {
        match &self.chance {
            Chance::Thread => rand::rng().random(),
            Chance::Seeded(rng) => rng.lock().random(),
        }
    }

    /// Returns random bits for a request id.
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
        // A deadline that the clock can't express becomes one in a century.
        let far = Duration::from_secs(100 * 365 * 86_400);
        self.origin + time.since(self.start).min(far)
    }
}

/// Returns the time since the machine's boot, sleep included, in nanoseconds. `/proc/uptime` counts hundredths of a second,
/// and the difference of two readings could be too large by one of them.
#[cfg(all(feature = "disk", target_os = "linux"))] // only the disk store compares boots
fn uptime() -> Option<Duration> {
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (since.tv_sec.try_into(), since.tv_nsec.try_into());
    Some(Duration::new(seconds.ok()?, nanos.ok()?))
}

#[cfg(not(all(feature = "disk", target_os = "linux")))] // otherwise boots are not compared
fn uptime() -> Option<Duration> {
    None
}

/// Returns whether tokio's clock is paused.
#[cfg(feature = "testing")] // virtual time belongs to the testing kit
pub(crate) fn is_virtual() -> bool {
    let (virtual_now, real) = (tokio_now(), real_now());
    while real_now() == real {}
    tokio_now() == virtual_now
}

#[cfg(any(feature = "testing", feature = "http"))] // the callers are in these features
pub(crate) fn tokio_now() -> Instant {
    Instant::now()
}

/// Returns the real present, independent of tokio's clock.
#[cfg(feature = "testing")] // virtual time is compared with it
pub(crate) fn real_now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Returns the time of the machine's clock.
pub(crate) fn wall_now() -> SystemTime {
    SystemTime::now()
}
