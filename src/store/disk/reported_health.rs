//! The health of the store: set by the engine, read by all callers, and logged when it changes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::time::Time;
use crate::error::{StoreError, StoreErrorKind};
use crate::store::Health;
use crate::telemetry;

/// Minimum time between two log lines about a full disk.
const LOG_FULL_EVERY: Duration = Duration::from_secs(10);

pub(super) struct ReportedHealth {
    health: Arc<Mutex<Health>>,
    /// When the next log line about a full disk may come, and whether the last one was written.
    log_full_at: Time,
    full_is_logged: bool,
}

impl ReportedHealth {
    pub(super) fn new(health: Arc<Mutex<Health>>) -> Self {
        Self {
            health,
            log_full_at: Time(0),
            full_is_logged: false,
        }
    }

    /// Returns whether the store refuses everything until it is opened again.
    pub(super) fn has_failed(&self) -> bool {
        matches!(*self.health.lock(), Health::Failed(_))
    }

    /// Returns whether the disk has no room.
    pub(super) fn is_full(&self) -> bool {
        matches!(*self.health.lock(), Health::Full(_))
    }

    /// Returns the error of a store that takes no appends, or nothing at all.
    pub(super) fn refusal(&self) -> Option<StoreError> {
        match &*self.health.lock() {
            Health::Failed(why) => Some(StoreError::of(StoreErrorKind::Failed, why.clone())),
            Health::Full(why) => Some(StoreError::of(StoreErrorKind::Full, why.clone())),
            Health::Well => None,
        }
    }

    /// Sets the health, and logs a change.
    pub(super) fn set(&mut self, health: Health, now: Time) {
        let before = std::mem::replace(&mut *self.health.lock(), health.clone());
        match (before, health) {
            (before, after) if before == after => {}
            (Health::Full(_), Health::Full(_)) => {}
            // Where room comes and goes with each event, not each change is logged.
            (_, Health::Full(why)) => {
                self.full_is_logged = now >= self.log_full_at;
                if self.full_is_logged {
                    self.log_full_at = now.after(LOG_FULL_EVERY);
                    telemetry::store_full(&why);
                }
            }
            (_, Health::Well) if self.full_is_logged => telemetry::store_recovered(),
            (_, Health::Well) => {}
            (_, Health::Failed(why)) => telemetry::store_failed(&why),
        }
    }
}
