//! A call under way, whose caller waits for the result.

use std::borrow::Cow;
use std::sync::{Arc, Weak};

use serde::de::DeserializeOwned;

use super::Client;
use crate::admission::receipts::AcceptedCall;
use crate::error::CallError;
use crate::event::failure::Failure;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::mailbox::snapshot::EventOutcome;

/// A call under way, from [`Client::begin_call`]. Dropping it cancels the call.
#[must_use = "a call that is dropped is cancelled"]
pub struct Call {
    client: Client,
    function: Cow<'static, str>,
    accepted: AcceptedCall,
    ended: bool,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("function", &self.function)
            .field("request_id", &self.request_id())
            .finish_non_exhaustive()
    }
}

impl Call {
    pub(super) fn new(client: Client, function: Cow<'static, str>, accepted: AcceptedCall) -> Self {
        Self {
            client,
            function,
            accepted,
            ended: false,
        }
    }

    /// Returns the call's request id.
    pub fn request_id(&self) -> RequestId {
        self.accepted.request_id
    }

    /// Returns the version that runs: `$LATEST`, or the one that the qualifier stands for (INV-17).
    pub fn version(&self) -> &str {
        self.accepted.meta.version()
    }

    /// Returns the trace header that the handler sees: [`Context::trace_header`](crate::Context::trace_header).
    pub fn trace_header(&self) -> Cow<'_, str> {
        let AcceptedCall {
            meta,
            request_id,
            accepted,
            ..
        } = &self.accepted;
        meta.trace_header(*request_id, *accepted)
    }

    /// Waits for the call to end and returns its result. Dropping the future cancels the call.
    ///
    /// # Errors
    /// When the function fails, the call is cancelled, or the result is not an `R`.
    pub async fn result<R: DeserializeOwned>(mut self) -> Result<R, CallError> {
        let end = (&mut self.accepted.end).await.map_err(|_| self.lost())?;
        self.ended = true;
        match end {
            EventOutcome::Succeeded(result) => result
                .unwrap_or_else(Payload::null)
                .read()
                .map_err(CallError::Result),
            EventOutcome::Failed(failure) => Err(CallError::Failed(failure)),
            EventOutcome::Dead(letter) => Err(CallError::Failed(
                letter
                    .failure()
                    .cloned()
                    .unwrap_or_else(Failure::worker_lost),
            )),
            EventOutcome::Cancelled => Err(CallError::Cancelled),
        }
    }

    /// Returns the error of a call whose end never came. The function's name may be another function's by now.
    fn lost(&self) -> CallError {
        let mailbox = &self.accepted.mailbox;
        match self
            .client
            .entrance
            .admission
            .registry
            .named(&self.function)
        {
            Some(known) if Weak::ptr_eq(&Arc::downgrade(&known), mailbox) => CallError::Gone,
            _ => CallError::Removed {
                function: self.function.to_string(),
            },
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mailbox = self.accepted.mailbox.upgrade();
        if let Some(mailbox) = mailbox.filter(|_| !self.ended) {
            self.client.cancel_here(&mailbox, self.accepted.request_id);
        }
    }
}
