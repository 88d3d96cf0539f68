//! Idempotency: which events of a function are the same work, so that it is done once.
//!
//! [`Idempotency`] finds the key of an event, `key.rs` makes an execution's name of it, and `executions.rs` holds the table of
//! executions, each a record of `record.rs`: the running ones with their owners, the completed ones with their results.
//! `lease.rs` shares the table between workers. `function/idempotent.rs` runs a handler under a lease.

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

/// The rule by which events of a function are the same work, to be done once, as in Powertools for AWS Lambda. Given to
/// [`Function::idempotent`](crate::Function::idempotent).
///
/// Events are the same if their keys are equal. The key is the part of the payload that is chosen here, as JSON; the order of
/// its fields doesn't matter (IDM-02). Each function has separate keys.
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

/// A closure that returns a part of a payload as JSON.
type Read = dyn Fn(&Payload) -> Result<Value, Failure> + Send + Sync;

/// A part of a payload.
#[derive(Clone)]
enum Part {
    Pointer(Arc<str>),
    Closure(Arc<Read>),
}

impl Idempotency {
    /// Returns a rule whose key is the value that `key` returns: a `String`, a number, a tuple of some fields.
    ///
    /// With `None`, or a collection that contains only `None`, the event has no key (IDM-03). `T` may be any type that the
    /// payload's JSON fits; the handler's type needs no deserialisation where the event carries it as a value. A payload that
    /// doesn't fit `T` is a final failure. A panic of `key` is a failure like a panic of the handler.
    pub fn by<T, K>(key: impl Fn(&T) -> K + Send + Sync + 'static) -> Self
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        K: Serialize,
    {
        Self::of(Part::closure(key))
    }

    /// Returns a rule whose key is the value at a JSON pointer (RFC 6901) in the payload, such as `/order/id`. Without such a
    /// value, the event has no key.
    pub fn by_pointer(pointer: impl Into<String>) -> Self {
        Self::of(Part::Pointer(pointer.into().into()))
    }

    /// Returns a rule whose key is the whole payload.
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

    /// Sets how long later events of the key get the result, counted from the end of the run; 1 h unless set (IDM-05).
    pub fn expires_after(mut self, age: Duration) -> Self {
        self.expires_after = age;
        self
    }

    /// Requires that `part` returns equal values for all events of one key. An event that differs from the one with the result
    /// is a mistake and not a repetition: its failure is final (IDM-09).
    pub fn validate<T, V>(mut self, part: impl Fn(&T) -> V + Send + Sync + 'static) -> Self
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        V: Serialize,
    {
        self.validated = Some(Part::closure(part));
        self
    }

    /// As [`validate`](Self::validate), for the value at a JSON pointer; the empty pointer is the whole payload.
    pub fn validate_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.validated = Some(Part::Pointer(pointer.into().into()));
        self
    }

    /// Makes a missing key a final failure. Unless this is set, an event without a key runs as if its function were not
    /// idempotent, with a warning in the log (IDM-03).
    pub fn require_key(mut self) -> Self {
        self.key_required = true;
        self
    }

    /// Returns the fault of the rule, if it has one.
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

    /// Returns the key of an event, if it has one. May run user code.
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

    /// Returns the digest of the part that all events of one key must share, if a part is validated. May run user code.
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
        // The last worker drops it, on any thread.
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

/// Returns whether a value is not a key. Zero, `false` and the empty text are keys (IDM-03).
fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().all(Value::is_null),
        Value::Object(fields) => fields.values().all(Value::is_null),
        _ => false,
    }
}

/// Returns a final failure of the event.
pub(crate) fn refused(error_type: &str, message: impl fmt::Display) -> Failure {
    Failure::new(FailureKind::Idempotency, error_type, message)
}

fn misfit(type_name: &str, error: &PayloadError) -> Failure {
    let message = format!("payload has no idempotency key as `{type_name}`: {error}");
    Failure::new(FailureKind::Payload, "PayloadMismatch", message)
}
