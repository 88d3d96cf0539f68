//! A part of the logs under one lock, within its bounds: of each event the last lines, of all events the latest logs.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use super::owner::LogOwner;
use super::report::{AttemptEnd, write_end, write_start};
use crate::event::request_id::RequestId;

/// Bytes that are kept of one event; AWS shows the last 4,096 (INV-18).
pub(super) const EVENT_MAX: usize = 16 << 10;
/// What each new log counts as, however short: more than it takes, because smaller tables are faster.
pub(super) const LOG_MIN: usize = 512;
/// Shards of all logs.
pub(super) const SHARDS: usize = 16;
/// Bytes that are kept of all events.
pub(super) const TOTAL_MAX: usize = 16 << 20;
/// Bytes that one shard keeps.
pub(super) const SHARD_MAX: usize = TOTAL_MAX / SHARDS;

#[derive(Default)]
pub(super) struct Shard {
    pub(super) logs: HashMap<LogOwner, NumberedLog, FxBuildHasher>,
    /// Owners in the order in which their logs began. An owner whose log began again stands here twice, until the first place
    /// is the oldest.
    pub(super) order: VecDeque<(LogOwner, u64)>,
    /// How many logs have begun.
    begun: u64,
    pub(super) bytes: usize,
}

/// A log with its number: it was the n-th to begin in its shard.
pub(super) struct NumberedLog {
    number: u64,
    pub(super) log: EventLog,
}

/// The log of one event, short or in full.
pub(super) enum EventLog {
    /// One attempt that logged nothing and didn't fail. Its lines are written only when a user reads them, which happens
    /// for few events.
    Quiet {
        version: Option<Arc<str>>,
        end: Option<AttemptEnd>,
    },
    Text(String),
}

impl Shard {
    pub(super) fn start(&mut self, owner: &LogOwner, attempt: u32, version: Option<&Arc<str>>) {
        if attempt > 1 && self.logs.contains_key(owner) {
            return self.add(owner, |text| write_start(text, owner.event, version));
        }
        let version = version.cloned();
        self.begin(owner, EventLog::Quiet { version, end: None });
        self.forget_oldest();
    }

    /// Keeps the end of a quiet log's attempt. Returns whether the log is quiet and had no end yet.
    pub(super) fn end_quietly(&mut self, owner: &LogOwner, ended: AttemptEnd) -> bool {
        let log = self.logs.get_mut(owner).map(|it| &mut it.log);
        if let Some(EventLog::Quiet {
            end: end @ None, ..
        }) = log
        {
            *end = Some(ended);
            return true;
        }
        false
    }

    /// Adds the text that `write` writes to the log of the event.
    pub(super) fn add(&mut self, owner: &LogOwner, write: impl FnOnce(&mut String)) {
        if !self.logs.contains_key(owner) {
            self.begin(owner, EventLog::Text(String::new()));
        }
        let Some(NumberedLog { log, .. }) = self.logs.get_mut(owner) else {
            return;
        };
        let before = log.len();
        let text = log.text(owner.event);
        write(text);
        if text.len() > EVENT_MAX {
            drop_first(text, text.len() - EVENT_MAX);
        }
        self.bytes = self.bytes + text.len() - before;
        self.forget_oldest();
    }

    /// Begins a log. The log of an earlier event with the same owner is dropped.
    fn begin(&mut self, owner: &LogOwner, log: EventLog) {
        let number = self.begun;
        self.begun += 1;
        self.order.push_back((owner.clone(), number));
        self.bytes += LOG_MIN;
        let before = self.logs.insert(owner.clone(), NumberedLog { number, log });
        self.bytes -= before.map_or(0, |begun| begun.log.len());
    }

    /// Drops an owner's log. Its place in the order stays until it is the oldest.
    pub(super) fn forget(&mut self, owner: &LogOwner) {
        let gone = self.logs.remove(owner);
        self.bytes -= gone.map_or(0, |begun| begun.log.len());
    }

    fn forget_oldest(&mut self) {
        while self.bytes > SHARD_MAX
            && let Some((oldest, number)) = self.order.pop_front()
        {
            self.bytes -= LOG_MIN;
            if self.logs.get(&oldest).is_some_and(|it| it.number == number) {
                self.forget(&oldest);
            }
        }
    }
}

impl EventLog {
    /// Returns the bytes that it takes beyond [`LOG_MIN`].
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Quiet { .. } => 0,
            Self::Text(text) => text.len(),
        }
    }

    pub(super) fn read(&self, event: RequestId) -> Cow<'_, str> {
        let (version, end) = match self {
            Self::Quiet { version, end } => (version.as_ref(), end),
            Self::Text(text) => return Cow::Borrowed(text),
        };
        let mut text = String::new();
        write_start(&mut text, event, version);
        if let Some(end) = end {
            write_end(&mut text, event, end, "");
        }
        Cow::Owned(text)
    }

    /// Turns a quiet log into text, and returns the text.
    fn text(&mut self, event: RequestId) -> &mut String {
        if let Self::Quiet { .. } = self {
            *self = Self::Text(self.read(event).into_owned());
        }
        match self {
            Self::Text(text) => text,
            Self::Quiet { .. } => unreachable!("the log is text by now"),
        }
    }
}

/// Drops at least `bytes` from the beginning, up to the end of a line if there is one.
fn drop_first(log: &mut String, bytes: usize) {
    let boundary = (bytes..log.len()).find(|&at| log.is_char_boundary(at));
    let bytes = boundary.unwrap_or(log.len());
    let line = log[bytes..].find('\n').map(|end| bytes + end + 1);
    // A line that never ends is cut.
    let cut = line.filter(|&line| line < log.len()).unwrap_or(bytes);
    drop(log.drain(..cut));
}
