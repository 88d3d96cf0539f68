use super::*;
use crate::event::directive::{Final, RetryAfter, Throttled};

fn of(error: impl Into<Box<dyn Error>>) -> Failure {
    Failure::of("E", &*error.into())
}

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer(#[source] Box<dyn Error + Send + Sync>);

#[test]
fn a_directive_is_found_anywhere_in_the_chain_of_causes() {
    assert_eq!(of(Final::new("no")).directive, Some(Directive::Final));
    let outer = of(Outer(Box::new(RetryAfter::new(
        Duration::from_secs(5),
        "busy",
    ))));
    assert_eq!(
        outer.directive,
        Some(Directive::After(Duration::from_secs(5)))
    );
    assert_eq!(
        (outer.message.as_str(), outer.causes),
        ("outer", vec!["busy".to_owned()])
    );
    let anyhow = anyhow::Error::from(Final::new("no")).context("while charging");
    let failure = Failure::of("anyhow::Error", &*Box::<dyn Error>::from(anyhow));
    assert_eq!(failure.directive, Some(Directive::Final));
    let bare = Failure::of(
        "anyhow::Error",
        &*Box::<dyn Error>::from(anyhow::Error::from(Final::new("no"))),
    );
    assert_eq!(bare.directive, Some(Directive::Final));
}

#[test]
fn a_throttled_error_is_a_throttle_that_does_not_count() {
    let failure = of(Throttled::new("429"));
    assert_eq!(
        (failure.kind, failure.directive, failure.counts()),
        (FailureKind::Throttle, None, false)
    );
}

#[test]
fn causes_are_kept_outermost_first() {
    let failure = of(Outer(Box::new(Outer(Box::new(Final::new("inner"))))));
    assert_eq!(failure.causes, ["inner"]);
    let failure = of(Outer(Box::new(std::io::Error::other("disk"))));
    assert_eq!(failure.causes, ["disk"]);
}

/// An error with this text and this cause, in a chain that may have no end.
#[derive(Debug)]
struct Link(
    fn(&mut fmt::Formatter<'_>) -> fmt::Result,
    Option<&'static Link>,
);

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

impl Error for Link {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.map(|next| next as _)
    }
}

#[test]
fn an_endless_chain_of_causes_is_cut() {
    static SAME: Link = Link(|f| f.write_str("gone"), Some(&SAME));
    static PING: Link = Link(|f| f.write_str("ping"), Some(&PONG));
    static PONG: Link = Link(|f| f.write_str("pong"), Some(&PING));
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    static MORE: Link = Link(
        |f| {
            write!(
                f,
                "{}",
                NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            )
        },
        Some(&MORE),
    );
    let failure = Failure::of("E", &SAME);
    assert_eq!((&*failure.message, failure.causes.len()), ("gone", 0));
    let failure = Failure::of("E", &PING);
    assert_eq!(
        (&*failure.message, failure.causes),
        ("ping", vec!["pong".to_owned()])
    );
    let failure = Failure::of("E", &MORE);
    assert_eq!(failure.causes.len(), CAUSES_MAX);
    assert_eq!(failure.causes[CAUSES_MAX - 1], MORE_CAUSES);
}

#[test]
fn the_texts_of_a_failure_are_cut_to_64_kib_together() {
    fn endless(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        loop {
            f.write_str("öde ")?;
        }
    }
    fn long(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&"x".repeat(50_000))
    }
    static ENDLESS: Link = Link(endless, None);
    static LONG: Link = Link(long, Some(&ENDLESS));
    static ROUND: Link = Link(endless, Some(&LONG));
    let long_type = "T".repeat(5_000);
    for (error, causes) in [(&ENDLESS, 0), (&LONG, 1), (&ROUND, 1)] {
        let failure = Failure::of(&long_type, error);
        assert!(failure.text_len() <= 64 << 10, "{}", failure.text_len());
        assert!(failure.error_type.ends_with(CUT));
        assert_eq!(failure.causes.len(), causes);
    }
    let text = "x".repeat(62 << 10);
    assert_eq!(of(text.clone()).message, text);
    let panic = Panicked {
        message: "y".repeat(1 << 20),
        place: None,
    };
    assert!(Failure::from(panic).message.ends_with(CUT));
}

#[test]
fn a_directive_behind_cut_texts_is_found() {
    let long = "x".repeat(1 << 20);
    let failure = of(Outer(Box::new(Outer(Box::new(Final::new(long))))));
    assert_eq!(failure.directive, Some(Directive::Final));
    assert!(failure.causes[0].ends_with(CUT));
}
