//! The signals that ask a process to end: SIGINT and SIGTERM; Ctrl-C where there are no such.

/// The signals that ask a process to end.
#[cfg(unix)]
pub(crate) struct Signals(Vec<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Signals {
    pub(crate) fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        let listening = kinds.map(|kind| {
            signal(kind).inspect_err(|error| tracing::error!(%error, "can't listen to a signal"))
        });
        Self(listening.into_iter().filter_map(Result::ok).collect())
    }

    pub(crate) async fn first(mut self) {
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
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn listen() -> Self {
        Self
    }

    pub(crate) async fn first(self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
