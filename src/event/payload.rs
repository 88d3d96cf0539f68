//! The payload of an event or the result of a function: a Rust value, its JSON, or both.
//!
//! A payload given as a Rust value stays one: it reaches a handler of the same type without being
//! serialised. It becomes JSON when something needs bytes: a store, a record, a dead letter's
//! reader. Its JSON size is known from the start, so that limits hold for typed payloads too.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::base::excerpt::excerpt;
use crate::base::panic::{self, Caged};
use crate::event::json_size;

/// A payload or a result: cheap to clone, shared, immutable.
///
/// Made from any serialisable value by [`Payload::new`], from JSON text by [`Payload::from_json`].
/// Serialises as the JSON it stands for. `Debug` shows its size, never its contents.
#[derive(Clone)]
pub struct Payload(Kept);

#[derive(Clone)]
enum Kept {
    /// One allocation: most events are freed by another thread than the one that made them, and each allocation costs.
    Json(Arc<RawValue>),
    Value(Arc<dyn Value>),
}

/// Maximum length of an error's text, in bytes: serde's may quote the value that it could not read.
const MESSAGE_MAX: usize = 64 << 10;

/// Why a value can't be a payload, or a payload can't be read as a type.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct PayloadError {
    message: String,
}

impl PayloadError {
    fn new(error: impl fmt::Display) -> Self {
        Self {
            message: excerpt(error, MESSAGE_MAX),
        }
    }
}

impl Payload {
    /// Returns a payload that keeps `value` as it is. Its JSON size is measured here, without building the JSON.
    ///
    /// `value` is dropped by its last holder: in the caller, on a worker's arbiter, or, when dead letters are purged, on the
    /// runtime's arbiter. A panic of its `Drop` is caught and logged. A slow `Drop` delays that thread.
    ///
    /// # Errors
    /// When `value` can't be written as JSON (for example a map whose keys aren't strings).
    pub fn new<T: Serialize + Send + Sync + 'static>(value: T) -> Result<Self, PayloadError> {
        if TypeId::of::<T>() == TypeId::of::<Self>()
            && let Some(payload) = (&value as &dyn Any).downcast_ref::<Self>()
        {
            return Ok(payload.clone());
        }
        // Its `Serialize` may panic, and its `Drop` too.
        let value = Caged::new(value);
        let bytes = json_size::json_size(&*value).map_err(PayloadError::new)?;
        Ok(Self(Kept::Value(Arc::new(Typed {
            value,
            json: OnceLock::new(),
            bytes,
        }))))
    }

    /// Returns a payload of JSON text, as it is. Only its syntax is checked.
    ///
    /// # Errors
    /// When `json` isn't one JSON value.
    pub fn from_json(json: impl Into<String>) -> Result<Self, PayloadError> {
        RawValue::from_string(json.into())
            .map(Self::from)
            .map_err(PayloadError::new)
    }

    /// Returns the JSON `null`: an absent payload and the result of a function that returns `()`.
    pub fn null() -> Self {
        static NULL: LazyLock<Payload> = LazyLock::new(|| RawValue::NULL.to_owned().into());
        NULL.clone()
    }

    /// Returns the payload as JSON. A value given as a Rust type is serialised on the first call only.
    ///
    /// # Errors
    /// When its `Serialize` fails now, though it succeeded when the payload was made.
    pub fn json(&self) -> Result<&RawValue, PayloadError> {
        match &self.0 {
            Kept::Json(json) => Ok(json),
            Kept::Value(value) => value.json(),
        }
    }

    /// Adds its JSON to `out` unless it is JSON already. Keeps nothing of it.
    #[cfg(feature = "disk")] // only the disk store writes into a buffer
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
        match &self.0 {
            Kept::Json(_) => Ok(()),
            Kept::Value(value) => value.write_json(out),
        }
    }

    /// Reads the payload. Returns a new `T`.
    ///
    /// # Errors
    /// When its JSON doesn't fit `T`. The error names the path of the field.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        let mut json = serde_json::Deserializer::from_str(self.json()?.get());
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            match error.path().to_string() {
                path if path == "." => PayloadError::new(error.inner()),
                path => PayloadError::new(format_args!("at `{path}`: {}", error.inner())),
            }
        })
    }

    /// Returns its size as JSON, in bytes. Exact for JSON; for a Rust value at least its exact size, at most
    /// 24 bytes more per floating-point number.
    pub fn size(&self) -> usize {
        match &self.0 {
            Kept::Json(json) => json.get().len(),
            Kept::Value(value) => value.bytes(),
        }
    }

    /// Returns the value itself if it is a `T`, else a `T` read from its JSON.
    pub(crate) fn typed<T>(self) -> Result<Arc<Typed<T>>, PayloadError>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        if let Kept::Value(value) = &self.0
            && value.holds(TypeId::of::<T>())
        {
            let any: Arc<dyn Any + Send + Sync> = value.clone().into_any();
            return any
                .downcast::<Typed<T>>()
                .map_err(|_| PayloadError::new("the payload is not of its own type"));
        }
        let bytes = self.size();
        // A handler whose type is `Payload` gets this one.
        let mut itself = Some(self.clone());
        let itself = (&mut itself as &mut dyn Any).downcast_mut::<Option<T>>();
        let value = match itself.and_then(Option::take) {
            Some(itself) => itself,
            None => self.read::<T>()?,
        };
        Ok(Arc::new(Typed {
            value: Caged::new(value),
            json: OnceLock::new(),
            bytes,
        }))
    }
}

impl From<Box<RawValue>> for Payload {
    fn from(json: Box<RawValue>) -> Self {
        Self(Kept::Json(json.into()))
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.size())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json()
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

trait Value: Any + Send + Sync {
    fn json(&self) -> Result<&RawValue, PayloadError>;
    #[cfg(feature = "disk")] // see `Payload::write_json`
    fn write_json(&self, out: &mut Vec<u8>) -> Result<(), PayloadError>;
    fn bytes(&self) -> usize;
    fn holds(&self, type_id: TypeId) -> bool;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// A Rust value and, once it was needed, its JSON.
pub(crate) struct Typed<T> {
    /// The last owner may be any thread.
    value: Caged<T>,
    /// Boxed twice, so that the unused case costs one word: most payloads never become JSON.
    json: OnceLock<Box<Box<RawValue>>>,
    bytes: usize,
}

impl<T> Typed<T> {
    pub(crate) fn get(&self) -> &T {
        &self.value
    }
}

impl<T: Serialize + Send + Sync + 'static> Value for Typed<T> {
    fn json(&self) -> Result<&RawValue, PayloadError> {
        if let Some(json) = self.json.get() {
            return Ok(json);
        }
        let json = serialised::<T, _>(|| serde_json::value::to_raw_value(self.get()))?;
        Ok(self.json.get_or_init(|| Box::new(json)))
    }

    #[cfg(feature = "disk")] // see `Payload::write_json`
    fn write_json(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
        match self.json.get() {
            Some(_) => Ok(()),
            None => {
                out.reserve(self.bytes);
                serialised::<T, _>(|| serde_json::to_writer(out, self.get()))
            }
        }
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn holds(&self, type_id: TypeId) -> bool {
        TypeId::of::<T>() == type_id
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Runs a user's `Serialize`.
fn serialised<T, R>(
    serialise: impl FnOnce() -> Result<R, serde_json::Error>,
) -> Result<R, PayloadError> {
    let caught = panic::catch(serialise).map_err(|_| {
        let name = std::any::type_name::<T>();
        PayloadError::new(format_args!("`{name}` panicked in its Serialize"))
    });
    caught?.map_err(PayloadError::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Upload {
        bucket: String,
        sizes: Vec<u32>,
    }

    fn upload() -> Upload {
        Upload {
            bucket: "photos".into(),
            sizes: vec![1, 22, 333],
        }
    }

    #[test]
    fn a_value_reaches_a_handler_of_its_type_without_json() {
        let payload = Payload::new(upload()).unwrap();
        assert_eq!(payload.clone().typed::<Upload>().unwrap().get(), &upload());
        let again = payload.clone().typed::<Upload>().unwrap();
        assert!(again.json.get().is_none());
    }

    #[test]
    fn json_reaches_a_handler_of_any_type_that_fits() {
        let payload = Payload::from_json(r#"{"bucket":"photos","sizes":[1,22,333]}"#).unwrap();
        assert_eq!(payload.clone().typed::<Upload>().unwrap().get(), &upload());
    }

    #[test]
    fn the_error_of_a_misfit_names_the_path_of_the_field() {
        let payload = Payload::from_json(r#"{"bucket":"photos","sizes":[1,"two"]}"#).unwrap();
        let error = payload.clone().typed::<Upload>().err().unwrap().to_string();
        assert!(
            error.starts_with("at `sizes[1]`: invalid type: string \"two\""),
            "{error}"
        );
    }

    #[test]
    fn the_size_of_a_value_is_the_size_of_its_json() {
        let payload = Payload::new(upload()).unwrap();
        assert_eq!(payload.size(), payload.json().unwrap().get().len());
    }

    /// Each drop panics with the next one.
    #[derive(Serialize)]
    struct Grenade;

    impl Drop for Grenade {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new(Grenade));
        }
    }

    #[test]
    fn a_panic_in_the_drop_of_a_value_is_caught() {
        drop(Payload::new(Grenade).unwrap());
    }

    #[test]
    fn a_panic_in_the_serialize_of_a_value_is_an_error() {
        struct Once(std::sync::atomic::AtomicBool);
        impl Serialize for Once {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if self.0.swap(true, std::sync::atomic::Ordering::Relaxed) {
                    std::panic::resume_unwind(Box::new(Grenade));
                }
                serializer.serialize_unit()
            }
        }
        let payload = Payload::new(Once(false.into())).unwrap();
        let error = payload.json().unwrap_err().to_string();
        assert!(error.ends_with("panicked in its Serialize"), "{error}");
    }
}
