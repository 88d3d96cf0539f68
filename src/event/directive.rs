//! Errors by which a handler directs the retry of its event: final, retry after a delay, throttled, or with a code.
//!
//! Each is a wrapper around the handler's own error. It is found anywhere in a chain of sources, so that `anyhow` and the
//! like may wrap it again.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::event::error_type;

/// The retry that a handler's error asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directive {
    Final,
    After(Duration),
}

/// The error that a wrapper marks.
type Cause = Box<dyn Error + Send + Sync>;

/// Maximum number of errors of a chain that are read: several in a row may have the same text.
const CHAIN_MAX: usize = 256;

/// Returns an error and its causes, outermost first. A chain may lead back to its beginning, so it is cut.
pub(super) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source()).take(CHAIN_MAX)
}

/// Returns the code that the handler gave its error; of several, the outermost.
pub(super) fn code<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a str> {
    chain(error).find_map(|error| match Instruction::of(error) {
        Some(Instruction::Code(code)) => Some(&**code),
        _ => None,
    })
}

/// Returns the name of an error's type: inside one of the wrappers of this file, of the error that it marks.
pub(super) fn type_name(error: &(dyn Error + 'static)) -> Option<String> {
    let is_wrapper = error.is::<Final>()
        || error.is::<RetryAfter>()
        || error.is::<Throttled>()
        || error.is::<Coded>();
    if is_wrapper {
        return None;
    }
    match error.downcast_ref::<Marker>() {
        Some(marker) => type_name(&*marker.cause),
        None => error_type::of(error),
    }
}

/// An error with an instruction, found anywhere in the error's chain of sources.
///
/// It stands in the chain below the public wrapper, because a wrapper that is itself wrapped
/// (by `anyhow`) can't be recognised by its type, while its source can.
#[derive(Debug)]
struct Marker {
    instruction: Instruction,
    cause: Cause,
}

/// The instruction that a wrapper adds to a handler's error.
#[derive(Debug)]
pub(super) enum Instruction {
    Code(Cow<'static, str>),
    Final,
    After(Duration),
    Throttled(Option<Duration>),
}

impl Instruction {
    pub(super) fn of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        error
            .downcast_ref::<Marker>()
            .map(|marker| &marker.instruction)
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl Error for Marker {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

macro_rules! marked_error {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Error for $name {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
    };
}

/// An error after which no retry can help: the event becomes a dead letter at once, with condition
/// [`Condition::Final`](crate::Condition::Final).
///
/// ```
/// # use redrive::{Event, Final};
/// async fn charge(order: Event<u64>) -> Result<(), Box<dyn std::error::Error>> {
///     if *order == 0 {
///         return Err(Final::new("an order of nothing can't be charged").into());
///     }
///     Ok(())
/// }
/// ```
///
/// It works from anywhere in the chain of an error's sources, inside `anyhow` too.
#[derive(Debug)]
pub struct Final(Marker);

impl Final {
    /// Marks `error` as final.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Marker {
            instruction: Instruction::Final,
            cause: error.into(),
        })
    }
}

marked_error!(Final);

/// An error that sets the delay of the next attempt, in place of the retry policy.
///
/// The attempt counts: an event without retries left still becomes a dead letter.
#[derive(Debug)]
pub struct RetryAfter(Marker);

impl RetryAfter {
    /// Asks for the next attempt `delay` after this failure. From the event's eleventh failure on, the delay is at least
    /// 100 ms.
    pub fn new(delay: Duration, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Marker {
            instruction: Instruction::After(delay),
            cause: error.into(),
        })
    }
}

marked_error!(RetryAfter);

/// An error for a resource that has no capacity now (for example an HTTP 429).
///
/// The attempt doesn't count for the retry policy: the event is retried after 1 s, 2 s, 4 s … 5 min until its
/// maximum age (ASY-20, ASY-21).
#[derive(Debug)]
pub struct Throttled(Marker);

impl Throttled {
    /// Retried with the delays of throttled events.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Marker {
            instruction: Instruction::Throttled(None),
            cause: error.into(),
        })
    }

    /// Retried `delay` after this failure (for example from a `Retry-After` header). From the event's eleventh failure on,
    /// the delay is at least 100 ms.
    pub fn retry_after(delay: Duration, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Marker {
            instruction: Instruction::Throttled(Some(delay)),
            cause: error.into(),
        })
    }
}

marked_error!(Throttled);

/// An error with a code, which stays the same when the error's type or text changes. The code becomes the
/// [`error_type`](crate::Failure::error_type) of the failure, by which dead letters are filtered.
///
/// ```
/// # use redrive::{Coded, Event};
/// async fn charge(order: Event<u64>) -> Result<(), Box<dyn std::error::Error>> {
///     if *order == 0 {
///         return Err(Coded::new("EmptyOrder", "an order of nothing can't be charged").into());
///     }
///     Ok(())
/// }
/// ```
///
/// It works from anywhere in the chain of an error's sources, and around or inside of [`Final`], [`RetryAfter`] and
/// [`Throttled`]. Of several codes the outermost counts.
#[derive(Debug)]
pub struct Coded(Marker);

impl Coded {
    /// Gives `error` a code, of which 1 KiB is kept.
    pub fn new(
        code: impl Into<Cow<'static, str>>,
        error: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self(Marker {
            instruction: Instruction::Code(code.into()),
            cause: error.into(),
        })
    }
}

marked_error!(Coded);
