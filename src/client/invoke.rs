//! Invoking: events that run in the background, calls whose results are awaited, and dry runs.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Call, Chain, Client};
use crate::error::{CallError, InvokeError};
use crate::event::meta::EventMeta;
use crate::event::payload::Payload;
use crate::event::{Invoke, Options, Receipt};

impl Client {
    /// Runs `function` with `payload` in the background (AWS's `Event` invocation).
    ///
    /// Returns as soon as the event is kept: at once in memory, with a store when it is durable. Never waits for the function,
    /// and never for room in a full mailbox.
    ///
    /// With a store, dropping the future does not take the event back: it may still be kept and run.
    ///
    /// # Errors
    /// When the event is refused; then nothing of it is kept. The docs of each variant say what to do.
    pub async fn invoke<T>(&self, function: &str, payload: T) -> Result<Receipt, InvokeError>
    where
        T: Serialize + Send + Sync + 'static,
    {
        let options = self.chain.as_ref().map(|chain| Box::new(chain.options()));
        self.entrance
            .admission
            .accept(function, Payload::new(payload), options)
            .wait()
            .await
    }

    /// [`invoke`](Self::invoke) with all options of an [`Invoke`].
    ///
    /// # Errors
    /// As for `invoke`.
    pub async fn send(&self, invoke: Invoke) -> Result<Receipt, InvokeError> {
        let invoke = self.chained(invoke);
        self.entrance
            .admission
            .accept(&invoke.function, invoke.payload, invoke.options)
            .wait()
            .await
    }

    /// Runs `function` in the background once for each of `payloads`: accepts all of them or none. The receipts are in the order of the
    /// payloads. Waits as [`invoke`](Self::invoke) does.
    ///
    /// # Errors
    /// The first refusal; then none is kept.
    pub async fn invoke_batch<T>(
        &self,
        function: &str,
        payloads: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Receipt>, InvokeError>
    where
        T: Serialize + Send + Sync + 'static,
    {
        let events = payloads
            .into_iter()
            .map(|payload| self.chained(Invoke::event("", payload)))
            .collect();
        self.entrance.admission.accept_batch(function, events).await
    }

    /// Runs `function` and returns its result (AWS's `RequestResponse` invocation). A failed call is not retried and not
    /// dead-lettered. Dropping the future cancels the call.
    ///
    /// Calls run before waiting events, but while both wait, one of four runs is an event's: calls can't keep events waiting
    /// for ever.
    ///
    /// # Errors
    /// When the call is refused, fails, is cancelled, or its result is not an `R`.
    pub async fn call<R: DeserializeOwned>(
        &self,
        function: &str,
        payload: impl Serialize + Send + Sync + 'static,
    ) -> Result<R, CallError> {
        self.call_with(Invoke::event(function.to_owned(), payload))
            .await
    }

    /// [`call`](Self::call) with all options of an [`Invoke`]; a retry policy is ignored.
    ///
    /// # Errors
    /// As for `call`.
    pub async fn call_with<R: DeserializeOwned>(&self, invoke: Invoke) -> Result<R, CallError> {
        self.begin_call(invoke)?.result().await
    }

    /// As [`call_with`](Self::call_with), in two steps: returns as soon as the call is accepted, so that its request id is
    /// known while it runs.
    ///
    /// # Errors
    /// When it is refused.
    pub fn begin_call(&self, invoke: Invoke) -> Result<Call, InvokeError> {
        let invoke = self.chained(invoke);
        let function = invoke.function.clone();
        let calling = self.entrance.admission.accept_call(invoke)?;
        Ok(Call::new(self.clone(), function, calling))
    }

    /// Checks whether an event would be accepted now. Keeps nothing, doesn't wait, and doesn't ask the store. The next moment
    /// may be different.
    ///
    /// # Errors
    /// The refusal that the event would meet.
    pub fn dry_run(&self, invoke: Invoke) -> Result<(), InvokeError> {
        self.entrance.admission.dry_run(self.chained(invoke))
    }

    pub(super) fn chained(&self, invoke: Invoke) -> Invoke {
        let Some(chain) = &self.chain else {
            return invoke;
        };
        invoke.option(|options| {
            let meta = &mut options.meta;
            meta.hops = meta.hops.max(chain.hops);
            // A caller that sets a trace has left this one.
            if meta.trace_header.is_none() && meta.traceparent.is_none() {
                let inherited = chain.meta();
                meta.trace_header = inherited.trace_header;
                meta.traceparent = inherited.traceparent;
            }
        })
    }
}

impl Chain {
    fn options(&self) -> Options {
        Options {
            meta: self.meta(),
            ..Options::default()
        }
    }

    /// Returns the fields that an event of this chain inherits.
    fn meta(&self) -> EventMeta {
        let mut meta = self.meta.traces();
        meta.begin_trace(self.request_id, self.accepted);
        meta.hops = self.hops;
        meta
    }
}
