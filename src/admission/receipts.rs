//! How an admission ends: at once, or with receipts that come once the store has replied.

use std::sync::Weak;

use tokio::sync::oneshot;

use crate::base::time::Time;
use crate::error::InvokeError;
use crate::event::Receipt;
use crate::event::meta::SharedMeta;
use crate::event::request_id::RequestId;
use crate::mailbox::Mailbox;
use crate::mailbox::snapshot::EventOutcome;
use crate::persistence::append::Few;

/// An admission: over, or waiting for the store.
pub(crate) enum Admitting {
    Over(Result<Receipt, InvokeError>),
    Storing(Receipts),
}

impl Admitting {
    pub(crate) async fn wait(self) -> Result<Receipt, InvokeError> {
        match self {
            Self::Over(result) => result,
            Self::Storing(receipts) => receipts.one().await,
        }
    }
}

/// The receipts that come once the store has replied.
pub(crate) struct Receipts(oneshot::Receiver<Result<Few<Receipt>, InvokeError>>);

impl Receipts {
    pub(super) fn new(receipts: oneshot::Receiver<Result<Few<Receipt>, InvokeError>>) -> Self {
        Self(receipts)
    }

    /// Returns the receipt of a single event.
    pub(crate) async fn one(self) -> Result<Receipt, InvokeError> {
        self.few().await?.pop().ok_or(InvokeError::NoSystem)
    }

    pub(crate) async fn all(self) -> Result<Vec<Receipt>, InvokeError> {
        Ok(self.few().await?.into_vec())
    }

    async fn few(self) -> Result<Few<Receipt>, InvokeError> {
        // The sender is dropped without receipts only when the runtime is gone.
        self.0.await.unwrap_or(Err(InvokeError::NoSystem))
    }
}

/// A call that was accepted.
pub(crate) struct AcceptedCall {
    pub(crate) request_id: RequestId,
    /// Receives how the call ends.
    pub(crate) end: oneshot::Receiver<EventOutcome>,
    pub(crate) mailbox: Weak<Mailbox>,
    pub(crate) meta: SharedMeta,
    pub(crate) accepted: Time,
}
