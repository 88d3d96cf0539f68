//! How far the door is open: for new events, and for changes to those that are in.

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::RwLock;

use crate::error::InvokeError;

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum DoorState {
    Open,
    ShuttingDown,
    /// Unfinished events stay so: none is cancelled, purged or settled any more.
    Ended,
    /// No actor is behind the door any more.
    Gone,
}

/// The door closes step by step and never opens again.
pub(crate) struct Door {
    state: AtomicU8,
    /// Read-locked while something is done that must not come after the end.
    end: RwLock<()>,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            state: AtomicU8::new(DoorState::Open as u8),
            end: RwLock::default(),
        }
    }
}

impl Door {
    /// Closes the door this far. Returns `false` if it was closed this far already.
    pub(super) fn close(&self, state: DoorState) -> bool {
        self.state.fetch_max(state as u8, Ordering::AcqRel) < state as u8
    }

    /// Runs `close` when nothing is left of what began `before_end`: its store has it, whole.
    pub(super) fn end(&self, close: impl FnOnce()) {
        let _last = self.end.write();
        close();
    }

    /// Runs `change` unless the runtime has ended, and returns its result. `change` must not run user code.
    pub(crate) fn before_end<T>(&self, change: impl FnOnce() -> T) -> Option<T> {
        let _open = self.end.read_recursive();
        (!self.has_ended()).then(change)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) >= DoorState::Ended as u8
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state.load(Ordering::Acquire) == DoorState::Gone as u8
    }

    /// Returns why nothing is accepted any more, if nothing is.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), InvokeError> {
        match self.state.load(Ordering::Acquire) {
            0 => Ok(()),
            1 | 2 => Err(InvokeError::ShuttingDown),
            _ => Err(InvokeError::NoSystem),
        }
    }
}
