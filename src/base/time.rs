//! A moment on the runtime's own time line, as plain data.
//!
//! Rules take `now` as an argument and compare moments; only `base/clock.rs` knows what time it is.

use std::time::{Duration, SystemTime};

use serde::Serializer;

/// Nanoseconds since 1970 as the wall clock showed when the runtime's clock was made. It never goes back, whatever the wall
/// clock does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Time(pub(crate) u64);

impl Time {
    /// The moment `delay` from here; a delay beyond 584 years is the end of time.
    pub(crate) fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(nanos(delay)))
    }

    /// The moment `delay` before this one; before 1970 lies the beginning of time.
    pub(crate) fn before(self, delay: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(delay)))
    }

    /// This time as the runtime and its store tell each other.
    pub(crate) fn stored(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.0)
    }

    /// The time that the runtime and its store tell each other as this.
    pub(crate) fn of(stored: SystemTime) -> Self {
        let since = stored.duration_since(SystemTime::UNIX_EPOCH);
        Self(since.map_or(0, nanos))
    }

    /// How long ago `earlier` was; zero if it is yet to come.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Serialises a time as RFC 3339, with milliseconds.
pub(crate) fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}
