//! The state that all requests of an API share: the runtime's client, its logs, the access control, and the server's limits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::auth::authentication::AccessControl;
use crate::client::Client;
use crate::telemetry::logs::Logs;

/// How long a graceful stop waits for responses, unless set.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(10);
/// Bytes of responses that are held for clients, of all connections together, unless set; and as many of requests.
pub(crate) const BUFFERED_MAX: usize = 256 << 20;

#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) client: Client,
    pub(crate) logs: Logs,
    /// `None` serves loopback alone.
    pub(crate) access_control: Option<Arc<AccessControl>>,
    /// Connections that the API's own server serves at once, if that was set.
    pub(crate) connections_max: Option<usize>,
    /// Bytes that the API's own server holds for clients in each direction.
    pub(crate) buffered_max: usize,
    /// How long the stop of the API's own server waits for responses.
    pub(crate) stop_max: Duration,
    /// The server is about to stop: long polls end at once.
    pub(crate) stopping: watch::Sender<bool>,
}
