//! The time line of the store: it goes on from where the log ends, and never goes back.

use super::record::{Boot, LogRecord, Opened};
use crate::base::clock::Clock;
use crate::base::time::Time;

/// The time line, as far as the records of the log show it.
#[derive(Default)]
pub(super) struct TimeLine {
    /// The number of the last opening of the store.
    pub(super) incarnation: u64,
    /// The deaths of processes before this incarnation are on record.
    pub(super) counted: u64,
    latest: u64,
    reference: Option<(u64, Boot)>,
}

impl TimeLine {
    /// Notes the header of a segment.
    pub(super) fn opened(&mut self, opened: &Opened) {
        self.incarnation = opened.incarnation;
        self.reference = opened.boot.map(|boot| (opened.at, boot));
        self.saw(opened.at);
    }

    /// Notes a record of the log.
    pub(super) fn record(&mut self, record: &LogRecord<'_>) {
        match record {
            LogRecord::Event(event) | LogRecord::Scheduled(event, _) => self.saw(event.accepted),
            LogRecord::Finished(end) => self.saw(end.at),
            LogRecord::Buried { at, .. } => self.saw(*at),
            LogRecord::Died { .. } => self.counted = self.incarnation,
            LogRecord::Opened(_)
            | LogRecord::Synced { .. }
            | LogRecord::Rescheduled { .. }
            | LogRecord::Forgotten { .. }
            | LogRecord::Key { .. }
            | LogRecord::Executed(_)
            | LogRecord::Closed
            | LogRecord::Oldest
            | LogRecord::Lost
            | LogRecord::Emptied => {}
        }
    }

    fn saw(&mut self, at: u64) {
        self.latest = self.latest.max(at);
    }

    /// Returns the present. Since the last start of the machine it follows from the uptime, even if the clock was set since;
    /// across a start it is the clock's, unless that has gone back.
    pub(super) fn present(&self, clock: &Clock) -> Time {
        let since = self
            .reference
            .zip(boot(clock))
            .and_then(|((at, then), now)| {
                let same = then.id == now.id;
                same.then(|| at + now.uptime.saturating_sub(then.uptime))
            });
        Time(since.unwrap_or(clock.now().0).max(self.latest))
    }
}

/// Returns the last start of the machine, where the clock knows it.
pub(super) fn boot(clock: &Clock) -> Option<Boot> {
    let (id, uptime) = clock.boot()?;
    Some(Boot {
        id,
        uptime: u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX),
    })
}
