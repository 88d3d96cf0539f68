//! The name of an error: its type, the type in a box, or the handler's error code.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::error::Error;
use std::time::Duration;

use common::{dead_letters, invoke, letter, simulate};
use redrive::{
    Coded, Event, Filter, Final, Function, HandlerError, List, RetryAfter, RetryPolicy, Throttled,
};

#[derive(Debug, thiserror::Error)]
#[error("the card was declined")]
struct CardDeclined;

#[derive(Debug, thiserror::Error)]
enum ShopError {
    #[error("out of stock")]
    OutOfStock,
    #[error("not paid")]
    NotPaid(#[from] CardDeclined),
}

type Boxed = Box<dyn Error>;
type SendBoxed = Box<dyn Error + Send + Sync>;

/// Returns the name of the error that an event dies of.
fn called<E: HandlerError<K>, K: 'static>(error: fn() -> E) -> String {
    let (sender, receiver) = std::sync::mpsc::channel();
    let fails = move |_: Event<()>| async move { Err::<(), E>(error()) };
    let function = Function::new("f", fails).retry(RetryPolicy::none());
    simulate([function], |s| async move {
        let id = invoke(&s, "f", ()).await;
        s.advance(Duration::from_secs(1)).await;
        let failure = letter(&s, id).await.failure().unwrap().clone();
        sender.send(failure.error_type).unwrap();
    });
    receiver.recv().unwrap()
}

#[test]
fn an_error_has_the_name_of_its_type() {
    let name = called(|| ShopError::OutOfStock);
    assert!(name.ends_with("error_types::ShopError"), "{name}");
    assert_eq!(
        called(|| std::io::Error::other("full")),
        "std::io::error::Error"
    );
    assert_eq!(called(|| String::from("full")), "alloc::string::String");
}

#[test]
fn a_boxed_error_has_the_name_of_the_type_inside() {
    assert_eq!(called(|| Boxed::from(CardDeclined)), "CardDeclined");
    assert_eq!(
        called(|| SendBoxed::from(ShopError::OutOfStock)),
        "OutOfStock"
    );
    assert_eq!(
        called(|| Boxed::from(ShopError::from(CardDeclined))),
        "NotPaid"
    );
    assert_eq!(
        called(|| Boxed::from(std::io::Error::other("full"))),
        "std::io::error::Error"
    );
    assert_eq!(called(|| anyhow::Error::from(CardDeclined)), "CardDeclined");
    let told = || {
        anyhow::Error::from(CardDeclined)
            .context("while charging")
            .context("order 7")
    };
    assert_eq!(called(told), "CardDeclined");
    assert_eq!(called(|| Boxed::from("full")), "Error");
    assert_eq!(called(|| anyhow::anyhow!("full")), "Error");
}

#[test]
fn a_retry_wrapper_has_the_name_of_the_error_inside() {
    assert_eq!(called(|| Final::new(CardDeclined)), "CardDeclined");
    assert_eq!(
        called(|| Boxed::from(Final::new(CardDeclined))),
        "CardDeclined"
    );
    let soon = || RetryAfter::new(Duration::ZERO, ShopError::OutOfStock);
    assert_eq!(called(soon), "OutOfStock");
    assert_eq!(called(|| Final::new("no")), "Error");
    let told = || anyhow::Error::from(Final::new(CardDeclined)).context("while charging");
    assert_eq!(called(told), "CardDeclined");
}

#[test]
fn an_error_code_takes_precedence_over_every_type_name() {
    assert_eq!(called(|| Coded::new("Declined", CardDeclined)), "Declined");
    assert_eq!(
        called(|| Boxed::from(Coded::new("Declined", "by the bank"))),
        "Declined"
    );
    assert_eq!(
        called(|| Final::new(Coded::new("Declined", CardDeclined))),
        "Declined"
    );
    assert_eq!(
        called(|| Coded::new("Declined", Final::new(CardDeclined))),
        "Declined"
    );
    let nested = || Coded::new("Outer", Coded::new("Inner", CardDeclined));
    assert_eq!(called(nested), "Outer");
    let told = || anyhow::Error::from(Coded::new(format!("E{}", 7), "full")).context("at 7");
    assert_eq!(called(told), "E7");
    let long = called(|| Coded::new("x".repeat(5_000), "full"));
    assert!(long.len() <= 1_024, "{}", long.len());
}

/// The words of an error still count under its code, and its text and causes stay.
#[test]
fn a_code_changes_nothing_but_the_name() {
    let fails = |_: Event<()>| async {
        Err::<(), _>(Coded::new(
            "Declined",
            Final::new(ShopError::from(CardDeclined)),
        ))
    };
    simulate([Function::new("f", fails)], |s| async move {
        let id = invoke(&s, "f", ()).await;
        s.advance(Duration::from_secs(1)).await;
        let filter = Filter::new().error_type("Declined");
        let page = dead_letters(&s).send(List::new(filter)).await.unwrap();
        assert_eq!(page.letters[0].request_id, id);
        let failure = page.letters[0].failure().unwrap();
        assert_eq!(failure.message, "not paid");
        assert_eq!(failure.causes, ["the card was declined"]);
        assert_eq!(
            failure.to_string(),
            "Declined: not paid: the card was declined"
        );
    });
}

/// A throttle under a code is a throttle.
#[test]
fn a_coded_throttle_takes_no_attempt() {
    let busy = |_: Event<()>| async { Err::<(), _>(Coded::new("Busy", Throttled::new("429"))) };
    let function = Function::new("f", busy).retry(RetryPolicy::none());
    simulate([function], |s| async move {
        invoke(&s, "f", ()).await;
        s.advance(Duration::from_secs(600)).await;
        assert_eq!(s.dead("f"), 0);
        assert!(s.stats("f").throttles > 3);
    });
}
