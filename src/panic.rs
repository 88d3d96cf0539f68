//! Panics of user code: where they are caught, and how what they carry is got rid of.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::excerpt::excerpt;

/// What is left of a panic.
#[derive(Debug, PartialEq)]
pub(crate) struct Panicked {
    /// In the words of AWS's Rust runtime (INV-25).
    pub(crate) message: String,
}

/// Longest text that is kept of a panic, in bytes.
const TEXT_MAX: usize = 64 << 10;

/// Runs user code.
#[inline]
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, Panicked> {
    catch_unwind(AssertUnwindSafe(code)).map_err(panicked)
}

/// What is left of a panic that was caught elsewhere.
#[cold]
pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> Panicked {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    let message = excerpt(format_args!("panicked: {text}"), TEXT_MAX);
    // A panic's payload is the user's, and so is its `Drop`. If that panics too, the second payload is leaked:
    // dropped, it might bring a third, and so on without end.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    Panicked { message }
}

/// Something of the user's whose `Drop` may run on any thread, the control plane's among them: a panic in it stays inside.
pub(crate) struct Caged<T>(Option<T>);

impl<T> Caged<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T> std::ops::Deref for Caged<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_ref().expect("the value is taken by drop alone")
    }
}

impl<T> Drop for Caged<T> {
    fn drop(&mut self) {
        if !std::mem::needs_drop::<T>() {
            return;
        }
        let value = self.0.take();
        if let Err(Panicked { message }) = catch(|| drop(value)) {
            let type_name = std::any::type_name::<T>();
            tracing::error!(value = type_name, "{message} while it was dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_leaves_its_text() {
        let panicked = catch(|| std::panic::resume_unwind(Box::new("overboard"))).unwrap_err();
        assert_eq!(panicked.message, "panicked: overboard");
        assert_eq!(catch(|| 1), Ok(1));
    }

    #[test]
    fn a_payload_whose_drops_panic_without_end_is_got_rid_of() {
        struct Grenade;
        impl Drop for Grenade {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new(Grenade));
            }
        }
        let panicked = catch(|| std::panic::resume_unwind(Box::new(Grenade))).unwrap_err();
        assert_eq!(panicked.message, "panicked: a value that is no text");
    }
}
