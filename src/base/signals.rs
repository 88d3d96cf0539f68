//! The signals that ask a process to end: SIGINT and SIGTERM; Ctrl-C on other systems than Unix.

#[cfg(unix)]
use tokio::signal::unix::Signal as Source;
#[cfg(not(unix))]
use tokio::signal::windows::CtrlC as Source;

/// The signals that ask a process to end.
pub(crate) struct Signals(Vec<Source>);

impl Signals {
    /// Receives the signals from now on, in place of ending the process. Requires a thread with a tokio runtime.
    pub(crate) fn listen() -> Self {
        Self(sources())
    }

    /// Returns signals that never come, for a runtime that has ended.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Waits for the next signal, on any executor.
    pub(crate) async fn next(&mut self) {
        let signals: Vec<_> = self
            .0
            .iter_mut()
            .map(|signal| Box::pin(signal.recv()))
            .collect();
        if signals.is_empty() {
            return std::future::pending().await;
        }
        futures_util::future::select_all(signals).await;
    }
}

#[cfg(unix)]
fn sources() -> Vec<Source> {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
    let listening = kinds.map(|kind| {
        signal(kind).inspect_err(|error| tracing::error!(%error, "can't listen for a signal"))
    });
    listening.into_iter().filter_map(Result::ok).collect()
}

#[cfg(not(unix))]
fn sources() -> Vec<Source> {
    let listening = tokio::signal::windows::ctrl_c();
    listening
        .inspect_err(|error| tracing::error!(%error, "can't listen for Ctrl-C"))
        .into_iter()
        .collect()
}
