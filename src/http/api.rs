//! What all requests of an API share: the runtime's client, its logs, who may ask, and the limits of the server.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::auth::Guard;
use crate::client::Client;
use crate::telemetry::logs::Logs;

/// How long a graceful stop waits for the answers, unless set.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(10);
/// Bytes of answers that are held for clients, of all connections together, unless set; and as many of requests.
pub(crate) const BUFFERED_MAX: usize = 256 << 20;

#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) client: Client,
    pub(crate) logs: Logs,
    /// None serves loopback alone.
    pub(crate) guard: Option<Arc<Guard>>,
    /// As many connections as its own server serves at once, if that was set.
    pub(crate) connections_max: Option<usize>,
    /// As many bytes as its own server holds for clients in each direction.
    pub(crate) buffered_max: usize,
    /// As long as the stop of its own server waits for answers.
    pub(crate) stop_max: Duration,
    /// The server is about to stop, so that nobody should wait for something that is yet to come.
    pub(crate) stopping: watch::Sender<bool>,
}
