//! The only reader of time and the only source of chance, so that a test can own both.
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
    /// What the time was at the origin.
    start: Time,
    wall: Wall,
    /// A start of the machine, and how long ago it was at an instant, in place of the machine's own.
    boot: Option<(u128, Duration, Instant)>,
    chance: Chance,
}

#[derive(Clone, Debug)]
enum Wall {
    /// The machine's, which its operator may set.
    Machine,
    /// This clock with so many nanoseconds added: a test may set it.
    #[cfg_attr(
        not(feature = "testing"),
        allow(dead_code, reason = "the testing kit's")
    )]
    Simulated(Arc<AtomicI64>),
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
            start: Time::of(SystemTime::now()),
            wall: Wall::Machine,
            boot: None,
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
            start: Time::of(wall),
            wall: Wall::Simulated(Arc::default()),
            boot: None,
            chance,
        }
    }

    /// Is time virtual?
    pub(crate) fn is_simulated(&self) -> bool {
        matches!(self.wall, Wall::Simulated(_))
    }

    /// The same clock, on a machine that was started `uptime` ago.
    #[cfg(all(test, feature = "disk"))]
    pub(crate) fn booted(self, id: u128, uptime: Duration) -> Self {
        Self {
            boot: Some((id, uptime, Instant::now())),
            ..self
        }
    }

    /// The same clock, set: it shows `time` now.
    pub(crate) fn set(self, time: Time) -> Self {
        Self {
            origin: Instant::now(),
            start: time,
            ..self
        }
    }

    /// Sets the wall clock, if it is simulated: this clock goes on as before.
    #[cfg_attr(
        not(feature = "testing"),
        allow(dead_code, reason = "the testing kit's")
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

    /// What the wall clock shows at `time`. The machine's clock may be set meanwhile: the present is exact,
    /// the past is counted back from it.
    pub(crate) fn wall(&self, time: Time) -> SystemTime {
        let (now, wall) = self.present();
        if time > now {
            wall.checked_add(time.since(now)).unwrap_or(wall)
        } else {
            wall.checked_sub(now.since(time)).unwrap_or(wall)
        }
    }

    /// The moment at which the wall clock shows `wall`, as far as can be told now; it may have passed.
    pub(crate) fn time(&self, wall: SystemTime) -> Time {
        let (now, present) = self.present();
        match wall.duration_since(present) {
            Ok(ahead) => now.after(ahead),
            Err(behind) => now.before(behind.duration()),
        }
    }

    /// When the wall clock will show `wall`, unless it does already.
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

    /// A clock of the machine's that nobody can set: which start of the machine, and how long ago. Where there is none, or
    /// time is simulated, `None`.
    #[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
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
        self.origin + time.since(self.start).min(far)
    }
}

/// The time since the machine was started, sleep included, to the nanosecond: `/proc/uptime` has hundredths of a second, and
/// what is taken from one reading to the next would be too much by one.
#[cfg(all(feature = "disk", target_os = "linux"))]
fn uptime() -> Option<Duration> {
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (since.tv_sec.try_into(), since.tv_nsec.try_into());
    Some(Duration::new(seconds.ok()?, nanos.ok()?))
}

#[cfg(not(all(feature = "disk", target_os = "linux")))]
fn uptime() -> Option<Duration> {
    None
}

/// Does tokio's clock stand still while nothing waits for it?
#[cfg(feature = "testing")]
pub(crate) fn is_virtual() -> bool {
    let (told, real) = (tokio_now(), real_now());
    while real_now() == real {}
    tokio_now() == told
}

#[cfg(any(feature = "testing", feature = "http"))]
pub(crate) fn tokio_now() -> Instant {
    Instant::now()
}

/// The present, whatever tokio's clock does.
#[cfg(feature = "testing")]
pub(crate) fn real_now() -> std::time::Instant {
    std::time::Instant::now()
}

/// What the machine's clock shows.
pub(crate) fn wall_now() -> SystemTime {
    SystemTime::now()
}
