//! Panics of user code: catching them, and dropping their payloads safely.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::sync::Once;

use crate::base::excerpt::excerpt;

/// The message of a caught panic, and where it happened.
#[derive(Debug, PartialEq)]
pub(crate) struct Panicked {
    /// In the form of AWS's Rust runtime (INV-25).
    pub(crate) message: String,
    /// The place, as `file:line:column`. `None` before `note_places`, or after the application has set a hook that doesn't
    /// call the previous one.
    pub(crate) place: Option<String>,
}

/// Maximum length of a panic's text, in bytes.
const TEXT_MAX: usize = 64 << 10;

/// Runs user code. Returns its result, or its panic.
#[inline]
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, Panicked> {
    catch_unwind(AssertUnwindSafe(code)).map_err(panicked)
}

thread_local! {
    /// The text of the thread's last panic, and its place.
    static LAST: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Installs a panic hook that notes the place of each panic, and then calls the previous hook.
pub(crate) fn note_places() {
    static ONCE: Once = Once::new();
    // A panicking thread must not set hooks.
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
    // A thread that is ending has no such storage.
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
        .unwrap_or("a value that is not a text")
}

/// Returns the message and place of a panic that was caught elsewhere.
#[cold]
pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> Panicked {
    let text = excerpt(text(&*payload), TEXT_MAX);
    let last = LAST.try_with(RefCell::take).ok().flatten();
    // A resumed panic does not call the hook, so the last noted one may be another.
    let place = last.filter(|(last, _)| *last == text);
    let message = excerpt(format_args!("panicked: {text}"), TEXT_MAX);
    discard(payload);
    Panicked {
        message,
        place: place.map(|(_, place)| place),
    }
}

/// Drops a panic's payload, whose `Drop` is user code. If that panics too, the second payload is leaked: its own drop could
/// panic again, and so on without end.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

/// Runs user code on a value, then drops the value. Both may panic: two panics at once would abort the process, so only the
/// first one goes on. Returns the result of the code.
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

/// A user's value whose `Drop` may panic. The panic is caught and logged, because the drop may run on any thread, also of the
/// control plane, or while another panic unwinds.
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
            // A log subscriber may panic as well.
            let _ = catch(|| tracing::error!(value = type_name, "{message} while it was dropped"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_panic_is_kept() {
        let panicked = catch(|| std::panic::resume_unwind(Box::new("overboard"))).unwrap_err();
        assert_eq!(panicked.message, "panicked: overboard");
        assert_eq!(catch(|| 1), Ok(1));
    }

    #[test]
    fn the_place_of_a_panic_is_kept() {
        note_places();
        let line = line!() + 1;
        let place = catch(|| panic!("here")).unwrap_err().place.unwrap();
        assert!(
            place.starts_with(&format!("{}:{line}:", file!())),
            "{place}"
        );
        let number = catch(|| std::panic::panic_any(7)).unwrap_err();
        assert!(number.place.is_some());
        // The user catches one panic and resumes another: its place is not known.
        let _ = catch_unwind(|| panic!("elsewhere"));
        let resumed = catch(|| resume_unwind(Box::new("resumed"))).unwrap_err();
        assert_eq!(resumed.place, None);
    }

    /// Panics when it is dropped.
    struct Brittle;
    impl Drop for Brittle {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("dropped"));
        }
    }

    #[test]
    fn a_value_may_panic_in_use_and_in_its_drop() {
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
    fn a_payload_whose_drops_panic_without_end_is_leaked() {
        struct Grenade;
        impl Drop for Grenade {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new(Grenade));
            }
        }
        let panicked = catch(|| std::panic::resume_unwind(Box::new(Grenade))).unwrap_err();
        assert_eq!(panicked.message, "panicked: a value that is not a text");
    }
}
