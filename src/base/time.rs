//! A moment on the runtime's own time line, as plain data.
//!
//! Rules take `now` as an argument and compare moments; only `base/clock.rs` knows what time it is.

use std::time::{Duration, SystemTime};

use serde::Serializer;

/// Nanoseconds since 1970, counted from the wall clock's time when the runtime's clock was made. It never goes back, also
/// when the wall clock does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Time(pub(crate) u64);

impl Time {
    /// Returns the moment `delay` after this one, at most the year 2554.
    pub(crate) fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(nanos(delay)))
    }

    /// Returns the moment `delay` before this one, at least 1970.
    pub(crate) fn before(self, delay: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(delay)))
    }

    /// Returns this time in the form in which the runtime and its store exchange it.
    pub(crate) fn stored(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.0)
    }

    /// Returns the time of a value from the store.
    pub(crate) fn of(stored: SystemTime) -> Self {
        let since = stored.duration_since(SystemTime::UNIX_EPOCH);
        Self(since.map_or(0, nanos))
    }

    /// Returns the time since `earlier`; zero if that is in the future.
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
