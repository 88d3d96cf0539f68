//! Idempotency: which events of a function are one and the same piece of work, so that it is done once.
//!
//! [`Idempotency`] says where an event's key is; `key.rs` makes of it the name under which an execution is known;
//! `table.rs` keeps the executions: who runs one now, and what came of those that are done; `record.rs` is one of them.
//! Holding the table, and running a handler between two of its steps, is for `idempotency/lease.rs` and `function/idempotent.rs`.

mod executions;
mod key;
pub(crate) mod lease;
mod record;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::base::panic::{self, Caged};
use crate::event::failure::{Failure, FailureKind};
use crate::event::function_name::FunctionName;
use crate::event::payload::{Payload, PayloadError};

pub(crate) use executions::{Acquisition, Bounds, Executions, Fenced, Full};
pub(crate) use key::{Digest, Key};
pub(crate) use record::{Completed, Owner};

/// Which events of a function are the same piece of work, to be done once. In the manner of Powertools for AWS Lambda;
/// given to [`Function::idempotent`](crate::Function::idempotent).
///
/// Events are the same when their keys are: the part of the payload that is chosen here, as JSON, whatever the order of its
/// fields (IDM-02). Each function has keys of its own.
///
/// ```
/// # use std::time::Duration;
/// # use redrive::Idempotency;
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Order { id: u64, amount: u64 }
/// let by_order = Idempotency::by(|order: &Order| order.id)
///     .validate(|order: &Order| order.amount)
///     .expires_after(Duration::from_secs(24 * 3600))
///     .require_key();
/// // The same, for events that are JSON anyway.
/// let by_order = Idempotency::by_pointer("/id").validate_pointer("/amount");
/// ```
#[must_use = "it does nothing until it is given to a function"]
#[derive(Clone)]
pub struct Idempotency {
    key: Part,
    validated: Option<Part>,
    expires_after: Duration,
    key_required: bool,
}

/// IDM-05
const EXPIRES_AFTER: Duration = Duration::from_secs(3_600);

/// Reads a part of a payload as JSON.
type Read = dyn Fn(&Payload) -> Result<Value, Failure> + Send + Sync;

/// A part of a payload.
#[derive(Clone)]
enum Part {
    Pointer(Arc<str>),
    Closure(Arc<Read>),
}

impl Idempotency {
    /// By what `key` finds in the payload: a `String`, a number, a tuple of some fields.
    ///
    /// `None` is no key, and so is a collection of nothing but `None` (IDM-03). `T` need not be the handler's type:
    /// any that the payload's JSON fits will do; the handler's own costs nothing where the event carries it as a value.
    /// A payload that doesn't fit `T` fails the event for good; a panic of `key` is a failure like a panic of the handler.
    pub fn by<T, K>(key: impl Fn(&T) -> K + Send + Sync + 'static) -> Self
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        K: Serialize,
    {
        Self::of(Part::closure(key))
    }

    /// By what the JSON pointer (RFC 6901) leads to in the payload: `/order/id`. Where it leads to nothing there is no key.
    pub fn by_pointer(pointer: impl Into<String>) -> Self {
        Self::of(Part::Pointer(pointer.into().into()))
    }

    /// By the whole payload.
    pub fn by_payload() -> Self {
        Self::by_pointer("")
    }

    fn of(key: Part) -> Self {
        Self {
            key,
            validated: None,
            expires_after: EXPIRES_AFTER,
            key_required: false,
        }
    }

    /// For how long the result stands for all further events of its key, from the end of the run; 1 h unless set (IDM-05).
    pub fn expires_after(mut self, age: Duration) -> Self {
        self.expires_after = age;
        self
    }

    /// Events of one key must agree in what `part` finds in their payloads. One that doesn't agree with the event whose
    /// result is there is no repetition but a mistake, and fails for good (IDM-09).
    pub fn validate<T, V>(mut self, part: impl Fn(&T) -> V + Send + Sync + 'static) -> Self
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        V: Serialize,
    {
        self.validated = Some(Part::closure(part));
        self
    }

    /// As [`validate`](Self::validate), for what the JSON pointer leads to; the empty one to the whole payload.
    pub fn validate_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.validated = Some(Part::Pointer(pointer.into().into()));
        self
    }

    /// An event without a key fails for good. Unless this is set it runs, as if its function were not idempotent, and the
    /// log has a warning (IDM-03).
    pub fn require_key(mut self) -> Self {
        self.key_required = true;
        self
    }

    /// What is wrong with it, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.expires_after.is_zero() {
            return Some("expires after no time: give results at least a millisecond".to_owned());
        }
        let parts = [Some(&self.key), self.validated.as_ref()];
        parts.into_iter().flatten().find_map(|part| match part {
            Part::Pointer(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => Some(
                format!("has the JSON pointer {pointer:?}: begin it with `/`"),
            ),
            _ => None,
        })
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.expires_after
    }

    /// Finds the key of an event, if it has one. May run user code.
    pub(crate) fn key(
        &self,
        function: &FunctionName,
        payload: &Payload,
    ) -> Result<Option<Key>, Failure> {
        let value = self.key.of(payload)?;
        if !is_absent(&value) {
            return Ok(Some(Key::new(function.clone(), Digest::of(&value))));
        }
        if self.key_required {
            let message = "the event has no idempotency key, and one is required";
            return Err(refused("IdempotencyKeyError", message));
        }
        Ok(None)
    }

    /// Finds what the events of one key must agree in, if anything is asked. May run user code.
    pub(crate) fn validated(&self, payload: &Payload) -> Result<Option<Digest>, Failure> {
        let part = self.validated.as_ref().map(|part| part.of(payload));
        Ok(part.transpose()?.as_ref().map(Digest::of))
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("key", &self.key)
            .field("validated", &self.validated)
            .field("expires_after", &self.expires_after)
            .field("key_required", &self.key_required)
            .finish()
    }
}

impl Part {
    fn closure<T, V>(closure: impl Fn(&T) -> V + Send + Sync + 'static) -> Self
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        V: Serialize,
    {
        // It is dropped wherever the last worker ends.
        let closure = Caged::new(closure);
        Self::Closure(Arc::new(move |payload| {
            let typed = payload
                .clone()
                .typed::<T>()
                .map_err(|error| misfit(std::any::type_name::<T>(), &error))?;
            panic::consume(closure(typed.get()), |part| serde_json::to_value(part))
                .map_err(|error| refused("IdempotencyKeyError", error))
        }))
    }

    fn of(&self, payload: &Payload) -> Result<Value, Failure> {
        match self {
            Self::Closure(read) => read(payload),
            Self::Pointer(pointer) => {
                let whole: Value = payload.read().map_err(|error| misfit("JSON", &error))?;
                Ok(whole.pointer(pointer).cloned().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pointer(pointer) => fmt::Debug::fmt(pointer, f),
            Self::Closure(_) => f.write_str("closure"),
        }
    }
}

/// IDM-03: zero, `false` and the empty text are keys.
fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().all(Value::is_null),
        Value::Object(fields) => fields.values().all(Value::is_null),
        _ => false,
    }
}

/// A failure of the event that no retry can mend.
pub(crate) fn refused(error_type: &str, message: impl fmt::Display) -> Failure {
    Failure::new(FailureKind::Idempotency, error_type, message)
}

fn misfit(type_name: &str, error: &PayloadError) -> Failure {
    let message = format!("payload has no idempotency key as `{type_name}`: {error}");
    Failure::new(FailureKind::Payload, "PayloadMismatch", message)
}
