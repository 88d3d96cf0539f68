//! Panics of user code: where they are caught, and how what they carry is got rid of.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

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
    discard(payload);
    Panicked { message }
}

/// A panic's payload is the user's, and so is its `Drop`. If that panics too, the second payload is leaked: dropped, it
/// might bring a third, and so on without end.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

/// Lets user code use a value of the user's, then drops the value. A panic in the one and a panic in the other never meet,
/// which would abort the process; where both panic, the first goes on.
pub(crate) fn consume<T, R>(value: T, code: impl FnOnce(&T) -> R) -> R {
    if !std::mem::needs_drop::<T>() {
        return code(&value);
    }
    let used = catch_unwind(AssertUnwindSafe(|| code(&value)));
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(value)));
    match (used, dropped) {
        (Ok(result), Ok(())) => result,
        (Ok(_), Err(panic)) | (Err(panic), Ok(())) => resume_unwind(panic),
        (Err(panic), Err(second)) => {
            discard(second);
            resume_unwind(panic)
        }
    }
}

/// Something of the user's whose `Drop` may run on any thread, the control plane's among them, or while a panic unwinds: a
/// panic in it stays inside.
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

impl<T> std::ops::DerefMut for Caged<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("the value is taken by drop alone")
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
            // So does one of whoever hears of it.
            let _ = catch(|| tracing::error!(value = type_name, "{message} while it was dropped"));
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

    /// Its drop panics.
    struct Brittle;
    impl Drop for Brittle {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("dropped"));
        }
    }

    #[test]
    fn what_panics_in_use_may_panic_in_its_drop() {
        let used = || std::panic::resume_unwind(Box::new("used"));
        let first = |used: &dyn Fn()| catch(|| consume(Brittle, |_| used())).unwrap_err();
        assert_eq!(first(&used).message, "panicked: used");
        assert_eq!(first(&|| ()).message, "panicked: dropped");
        assert_eq!(consume(String::from("7"), |text| text.len()), 1);
        let caged = catch(|| {
            let _caged = Caged::new(Brittle);
            used()
        });
        assert_eq!(caged.unwrap_err().message, "panicked: used");
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
