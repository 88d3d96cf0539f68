//! The graceful stop of the server, as one connection sees it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_server::GracefulShutdownSignal;

/// How long before the end of a stop running calls are cancelled, so that there is time for their responses.
const RESPONSE_TIME: Duration = Duration::from_secs(1);

/// After it begins, no request is read; requests that were read get their responses.
pub(super) struct Stop {
    signal: Pin<Box<dyn Future<Output = ()>>>,
    begun: bool,
    /// How long the server waits for responses.
    max: Duration,
}

impl Stop {
    pub(super) fn new(signal: GracefulShutdownSignal, max: Duration) -> Self {
        Self {
            signal: Box::pin(async move { signal.notified().await }),
            begun: false,
            max,
        }
    }

    pub(super) fn max(&self) -> Duration {
        self.max
    }

    /// Returns how long after the beginning of the stop a running call is cancelled.
    pub(super) fn call_max(&self) -> Duration {
        self.max.saturating_sub(RESPONSE_TIME).max(self.max / 2)
    }

    /// Is ready once the stop has begun.
    pub(super) fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        self.begun = self.begun || self.signal.as_mut().poll(task).is_ready();
        match self.begun {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}
