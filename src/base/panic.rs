//! Panics of user code: where they are caught, and how what they carry is got rid of.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::sync::Once;

use crate::base::excerpt::excerpt;

/// What is left of a panic.
#[derive(Debug, PartialEq)]
pub(crate) struct Panicked {
    /// In the words of AWS's Rust runtime (INV-25).
    pub(crate) message: String,
    /// Where, as `file:line:column`; none before `note_places`, or after the application has set a hook of its own that
    /// doesn't call the one before it.
    pub(crate) place: Option<String>,
}

/// Longest text that is kept of a panic, in bytes.
const TEXT_MAX: usize = 64 << 10;

/// Runs user code.
#[inline]
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, Panicked> {
    catch_unwind(AssertUnwindSafe(code)).map_err(panicked)
}

thread_local! {
    /// The text of the thread's last panic, and its place.
    static LAST: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// From now on panics leave their places. What was to hear of a panic still does.
pub(crate) fn note_places() {
    static ONCE: Once = Once::new();
    // While it panics, a thread may not set hooks.
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            note_place(panic);
            before(panic);
        }));
    });
}

fn note_place(panic: &PanicHookInfo<'_>) {
    let Some(place) = panic.location().map(ToString::to_string) else {
        return;
    };
    let text = excerpt(text(panic.payload()), TEXT_MAX);
    // A thread that ends has none any more.
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = Some((text, place));
        }
    });
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&str>().copied();
    literal
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}

/// What is left of a panic that was caught elsewhere.
#[cold]
pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> Panicked {
    let text = excerpt(text(&*payload), TEXT_MAX);
    let last = LAST.try_with(RefCell::take).ok().flatten();
    // One that was resumed is no news to the hook: then the last is another.
    let place = last.filter(|(last, _)| *last == text);
    let message = excerpt(format_args!("panicked: {text}"), TEXT_MAX);
    discard(payload);
    Panicked {
        message,
        place: place.map(|(_, place)| place),
    }
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
        if let Err(Panicked { message, .. }) = catch(|| drop(value)) {
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

    #[test]
    fn a_panic_leaves_its_place() {
        note_places();
        let line = line!() + 1;
        let place = catch(|| panic!("here")).unwrap_err().place.unwrap();
        assert!(
            place.starts_with(&format!("{}:{line}:", file!())),
            "{place}"
        );
        let number = catch(|| std::panic::panic_any(7)).unwrap_err();
        assert!(number.place.is_some());
        // Caught by the user, and another one resumed: its place is not known.
        let _ = catch_unwind(|| panic!("elsewhere"));
        let resumed = catch(|| resume_unwind(Box::new("resumed"))).unwrap_err();
        assert_eq!(resumed.place, None);
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
