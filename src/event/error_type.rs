//! The type name of an error inside a `Box<dyn Error>`, an `anyhow::Error` or one of the crate's wrappers.
//!
//! Rust has no name for a type behind `dyn Error`. A derived `Debug` has: its output begins with the name of the struct, or of
//! the enum's variant. An error whose `Debug` begins in another way, for example with a text, has no name.

use std::error::Error;

use crate::base::excerpt::excerpt;

/// Maximum length of a name in a `Debug` output, in bytes.
const NAME_MAX: usize = 256;

/// Returns whether a type holds any error, so that its name does not describe the failure.
pub(crate) fn is_open(type_name: &str) -> bool {
    type_name.starts_with("alloc::boxed::Box<dyn ")
        || type_name.starts_with("redrive::event::directive::")
        || type_name == "redrive::event::failure::Failure" // that of a call, handed on
        || ["anyhow::Error", "eyre::Report"].contains(&type_name)
}

/// Returns the name of an error's type, or of the enum's variant; `None` if it is unknown.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<String> {
    // Their `Debug` does not contain their names.
    name_if::<std::io::Error>(error)
        .or_else(|| name_if::<std::fmt::Error>(error))
        .or_else(|| name_if::<serde_json::Error>(error))
        .or_else(|| by_debug(error))
}

fn name_if<E: Error + 'static>(error: &(dyn Error + 'static)) -> Option<String> {
    error.is::<E>().then(name_of::<E>)
}

fn name_of<E>() -> String {
    std::any::type_name::<E>().to_owned()
}

fn by_debug(error: &(dyn Error + 'static)) -> Option<String> {
    // In its alternate form `anyhow` shows the error itself, not its text.
    let debug = excerpt(format_args!("{error:#?}"), NAME_MAX);
    let end = debug.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':')));
    let (name, fields) = debug.split_at(end.unwrap_or(debug.len()));
    let is_shown_so = fields.is_empty() || fields.starts_with(" {") || fields.starts_with('(');
    match name {
        "Os" if fields.starts_with(" {\n    code: ") => Some(name_of::<std::io::Error>()),
        "Custom" if fields.starts_with(" {\n    kind: ") => Some(name_of::<std::io::Error>()),
        "Kind" if fields.starts_with("(\n") => Some(name_of::<std::io::Error>()),
        // `anyhow` gives this name to every context.
        "Error" => None,
        name if is_shown_so && is_type_name(name) => Some(name.to_owned()),
        _ => None,
    }
}

/// Returns whether `path` is a path of Rust names, the last one in the case of types.
fn is_type_name(path: &str) -> bool {
    let starts_well = |name: &str| !name.is_empty() && !name.starts_with(|c: char| c.is_numeric());
    path.split("::").all(starts_well)
        && path
            .rsplit("::")
            .next()
            .is_some_and(|name| name.starts_with(char::is_uppercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_this_crate_that_hold_any_error_are_open() {
        use crate::event::directive::{Coded, Final, RetryAfter, Throttled};
        use crate::event::failure::Failure;
        use std::any::type_name;
        for name in [
            type_name::<Failure>(),
            type_name::<Final>(),
            type_name::<RetryAfter>(),
            type_name::<Throttled>(),
            type_name::<Coded>(),
        ] {
            assert!(is_open(name), "{name}");
        }
        assert!(!is_open(type_name::<crate::event::payload::PayloadError>()));
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the card was declined")]
    struct CardDeclined {
        order: u64,
    }

    #[derive(Debug, thiserror::Error)]
    enum ShopError {
        #[error("nobody has ordered")]
        NoOrder,
        #[error("out of stock")]
        OutOfStock(#[source] CardDeclined),
    }

    /// An error with this `Debug` output.
    struct Says(&'static str);

    impl std::fmt::Debug for Says {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::fmt::Display for Says {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("says")
        }
    }

    impl Error for Says {}

    fn boxed(error: impl Into<anyhow::Error>) -> Box<dyn Error> {
        Box::from(error.into())
    }

    #[test]
    fn a_derived_debug_names_the_type_or_the_variant() {
        let declined = CardDeclined { order: 7 };
        assert_eq!(declined.order, 7);
        assert_eq!(of(&declined).unwrap(), "CardDeclined");
        assert_eq!(of(&ShopError::NoOrder).unwrap(), "NoOrder");
        assert_eq!(of(&ShopError::OutOfStock(declined)).unwrap(), "OutOfStock");
        assert_eq!(of(&*boxed(ShopError::NoOrder)).unwrap(), "NoOrder");
        let number = "x".parse::<u8>().unwrap_err();
        assert_eq!(of(&number).unwrap(), "ParseIntError");
    }

    #[test]
    fn every_kind_of_io_error_is_recognised() {
        use std::io;
        let made: [fn() -> io::Error; 3] = [
            || io::Error::from_raw_os_error(2),
            || io::Error::other("full"),
            || io::ErrorKind::NotFound.into(),
        ];
        for make in made {
            assert_eq!(of(&make()).unwrap(), "std::io::error::Error");
            assert_eq!(of(&*boxed(make())).unwrap(), "std::io::error::Error");
        }
        let json = serde_json::from_str::<u8>("x").unwrap_err();
        assert_eq!(of(&json).unwrap(), "serde_json::error::Error");
        assert_eq!(of(&std::fmt::Error).unwrap(), "core::fmt::Error");
    }

    #[test]
    fn a_text_is_not_a_name() {
        for text in [
            "",
            "7",
            "full",
            "Disk full",
            "Error: full",
            "Disk: full",
            "a::b",
            "::A",
            "Full!",
        ] {
            assert_eq!(of(&Says(text)), None, "{text}");
            assert_eq!(of(&*Box::<dyn Error>::from(text)), None, "{text}");
            assert_eq!(of(&*boxed(anyhow::Error::msg(text))), None, "{text}");
        }
        let long: &str = String::from("Long").repeat(1_000).leak();
        assert_eq!(of(&Says(long)), None);
        assert_eq!(
            of(&Says("shop::Error { order: 7 }")).unwrap(),
            "shop::Error"
        );
        assert_eq!(of(&Says("Error(\"full\")")), None);
    }
}
