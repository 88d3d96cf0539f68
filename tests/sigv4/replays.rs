//! A signature is valid for as long as at AWS. If replays are refused, it is accepted once.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use redrive::http::sigv4::{SignatureError, Verifier};

use crate::fixtures::{admit, vector, verify};
use crate::sent_request::Sent;

fn verifier() -> Verifier {
    crate::fixtures::verifier().refuse_replays()
}

fn later(name: &str, seconds: u64) -> Sent {
    let mut sent = vector(name);
    sent.now += seconds;
    sent
}

/// SIG-04: as at AWS, for clients whose equal calls within a second have one signature.
#[test]
fn by_default_a_signature_is_accepted_again_within_its_window() {
    for (name, last) in [
        ("plain", 300),
        ("declared", 300),
        ("temporary", 300),
        ("presigned", 600),
    ] {
        // Nothing is remembered, so the bound does not matter.
        let verifier = crate::fixtures::verifier().replays_max(0);
        for seconds in [0, 0, 1, last / 2, last] {
            verify(&verifier, &later(name, seconds)).unwrap();
        }
        let error = verify(&verifier, &later(name, last + 1)).unwrap_err();
        assert!(
            matches!(error, SignatureError::Expired { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_replay_is_refused_for_as_long_as_the_signature_is_good() {
    for (name, last) in [
        ("plain", 300),
        ("declared", 300),
        ("temporary", 300),
        ("presigned", 600),
    ] {
        let verifier = verifier();
        verify(&verifier, &vector(name)).unwrap();
        for seconds in [0, 1, last / 2, last] {
            let error = verify(&verifier, &later(name, seconds)).unwrap_err();
            assert!(matches!(error, SignatureError::Replayed), "{name}: {error}");
            assert_eq!(
                (error.status(), error.code()),
                (403, "RequestReplayedException")
            );
        }
        let error = verify(&verifier, &later(name, last + 1)).unwrap_err();
        assert!(
            matches!(error, SignatureError::Expired { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn of_concurrent_replays_one_is_accepted() {
    const THREADS: usize = 8;
    for name in ["plain", "declared", "presigned"] {
        let (verifier, sent, start) = (verifier(), vector(name), Barrier::new(THREADS));
        let accepted = thread::scope(|scope| {
            let attempt = || {
                let claim = admit(&verifier, &sent).unwrap();
                start.wait();
                verifier.settle(claim, &sent.body_hash, sent.now()).is_ok()
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(attempt)).collect();
            let results = threads.into_iter().map(|thread| thread.join().unwrap());
            results.filter(|accepted| *accepted).count()
        });
        assert_eq!(accepted, 1, "{name}");
    }
}

#[test]
fn a_refused_request_does_not_use_up_its_signature() {
    let verifier = verifier();
    for name in ["plain", "declared", "presigned"] {
        let mut other_body = vector(name);
        other_body.set_body(b"other".to_vec());
        verify(&verifier, &other_body).unwrap_err();
        verify(&verifier, &vector(name)).unwrap();
    }
}

#[test]
fn at_the_bound_of_remembered_signatures_requests_are_refused_until_some_expire() {
    // Of one principal, half as many.
    let verifier = verifier().replays_max(4);
    verify(&verifier, &vector("plain")).unwrap();
    verify(&verifier, &vector("declared")).unwrap();
    let error = verify(&verifier, &vector("presigned")).unwrap_err();
    assert_eq!(
        (error.status(), error.code()),
        (429, "TooManyRequestsException")
    );
    // Remembered signatures stay remembered.
    let error = verify(&verifier, &vector("plain")).unwrap_err();
    assert!(matches!(error, SignatureError::Replayed), "{error}");
    // Those two are good for 300 seconds and forgotten within 64 more; this one is good for 600.
    verify(&verifier, &later("presigned", 364)).unwrap();
}

#[test]
fn a_body_that_arrives_after_the_signature_expired_is_refused() {
    let verifier = verifier();
    for name in ["plain", "declared"] {
        let sent = vector(name);
        let claim = admit(&verifier, &sent).unwrap();
        let late = later(name, 301);
        let error = verifier
            .settle(claim, &sent.body_hash, late.now())
            .unwrap_err();
        assert!(matches!(error, SignatureError::Expired { .. }), "{error}");
    }
}

/// botocore puts these two headers on after signing, so equal calls within a second have one signature.
fn attempt(name: &str, id: &str, number: &str) -> Sent {
    let mut sent = vector(name);
    let headers = [("amz-sdk-invocation-id", id), ("amz-sdk-request", number)];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    sent.headers.extend(headers);
    sent
}

#[test]
fn equal_calls_of_an_sdk_within_a_second_are_separate_calls() {
    for name in ["plain", "declared"] {
        let verifier = verifier();
        let calls = [
            attempt(name, "a", "attempt=1"),
            attempt(name, "a", "attempt=2"),
            attempt(name, "b", "attempt=1"),
        ];
        for call in &calls {
            verify(&verifier, call).unwrap();
        }
        for call in &calls {
            let error = verify(&verifier, call).unwrap_err();
            assert!(matches!(error, SignatureError::Replayed), "{error}");
        }
    }
}

#[test]
fn another_sdk_attempt_is_accepted_for_five_seconds_after_the_first() {
    let later = |seconds| {
        let mut sent = attempt("plain", &format!("after {seconds}"), "attempt=1");
        sent.now += seconds;
        sent
    };
    let verifier = verifier();
    for seconds in [0, 4, 5] {
        verify(&verifier, &later(seconds)).unwrap();
    }
    // The five seconds don't begin anew with each attempt.
    for seconds in [6, 10, 300] {
        let error = verify(&verifier, &later(seconds)).unwrap_err();
        assert!(matches!(error, SignatureError::Replayed), "{error}");
    }
}

#[test]
fn an_sdk_attempt_after_a_request_without_one_is_a_replay() {
    let with = attempt("plain", "a", "attempt=1");
    for (first, second) in [(vector("plain"), with.clone()), (with, vector("plain"))] {
        let verifier = verifier();
        verify(&verifier, &first).unwrap();
        let error = verify(&verifier, &second).unwrap_err();
        assert!(matches!(error, SignatureError::Replayed), "{error}");
    }
}

#[test]
fn a_presigned_url_works_once_even_for_another_sdk_attempt() {
    let verifier = verifier();
    verify(&verifier, &attempt("presigned", "a", "attempt=1")).unwrap();
    let error = verify(&verifier, &attempt("presigned", "b", "attempt=1")).unwrap_err();
    assert!(matches!(error, SignatureError::Replayed), "{error}");
}

#[test]
fn without_a_repeat_window_every_repetition_is_a_replay() {
    let verifier = verifier().repeat_window(Duration::ZERO);
    verify(&verifier, &attempt("plain", "a", "attempt=1")).unwrap();
    let error = verify(&verifier, &attempt("plain", "b", "attempt=1")).unwrap_err();
    assert!(matches!(error, SignatureError::Replayed), "{error}");
}
