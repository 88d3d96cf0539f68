//! The signals that ask a process to end: SIGINT and SIGTERM; Ctrl-C where there are no such.

/// The signals that ask a process to end.
#[cfg(unix)]
pub(crate) struct Signals(Vec<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Signals {
    /// Has them noted from here on, in place of ending the process. To be called on a thread with a tokio runtime.
    pub(crate) fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        let listening = kinds.map(|kind| {
            signal(kind).inspect_err(|error| tracing::error!(%error, "can't listen for a signal"))
        });
        Self(listening.into_iter().filter_map(Result::ok).collect())
    }

    /// For a runtime that is gone: none ever comes.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Waits for the next one, on any executor.
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

#[cfg(not(unix))]
pub(crate) struct Signals(Option<tokio::signal::windows::CtrlC>);

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn listen() -> Self {
        let listening = tokio::signal::windows::ctrl_c();
        Self(
            listening
                .inspect_err(|error| tracing::error!(%error, "can't listen for Ctrl-C"))
                .ok(),
        )
    }

    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}
