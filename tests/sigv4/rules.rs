//! Each rule by itself: a request that botocore signed, with one change, and the refusal.

use std::error::Error;
use std::future::{Future, ready};
use std::pin::Pin;
use std::time::Duration;

use proptest::prelude::*;
use redrive::http::sigv4::{
    Credential, Credentials, Found, Principal, SignatureError, SignedRequest, StaticCredentials,
    Verifier,
};

use crate::fixtures::{admit, vector, verifier, verify};
use crate::sent_request::Sent;

/// Status, code and text of the refusal of the first step.
fn refusal(sent: &Sent) -> (u16, &'static str, String) {
    answer(&admit(&verifier(), sent).expect_err("it was admitted"))
}

fn answer(error: &SignatureError) -> (u16, &'static str, String) {
    (error.status(), error.code(), error.to_string())
}

/// The vector with `from` replaced in its `Authorization` header or, presigned, in its query.
fn with(name: &str, from: &str, to: &str) -> Sent {
    let mut sent = vector(name);
    let place = match sent
        .headers
        .iter()
        .position(|(name, _)| name == "Authorization")
    {
        Some(at) => &mut sent.headers[at].1,
        None => &mut sent.query,
    };
    assert!(place.contains(from), "{place}");
    *place = place.replace(from, to);
    sent
}

fn at(name: &str, shift: i64) -> Sent {
    let mut sent = vector(name);
    sent.now = sent.now.checked_add_signed(shift).unwrap();
    sent
}

fn without(name: &str, header: &str) -> Sent {
    let mut sent = vector(name);
    sent.headers
        .retain(|(name, _)| !name.eq_ignore_ascii_case(header));
    sent
}

fn and(name: &str, header: &str, value: &str) -> Sent {
    let mut sent = vector(name);
    sent.headers.push((header.to_owned(), value.to_owned()));
    sent
}

const INCOMPLETE: &str = "IncompleteSignatureException";
const INVALID: &str = "InvalidSignatureException";
const UNRECOGNIZED: &str = "UnrecognizedClientException";

/// SIG-06, SIG-07, SIG-10: `fn%3A1` is escaped twice, dot segments and empty ones don't count in the path.
#[test]
fn a_botocore_request_is_attributed_to_the_owner_of_its_key() {
    let verifier = verifier();
    for name in ["plain", "escaped", "dots", "declared", "presigned"] {
        let arn = verify(&verifier, &vector(name)).unwrap();
        assert_eq!(arn, "arn:aws:iam::123456789012:user/AKIDEXAMPLE", "{name}");
    }
    for name in ["temporary", "presigned temporary"] {
        let arn = verify(&verifier, &vector(name)).unwrap();
        assert_eq!(arn, "arn:aws:iam::123456789012:user/ASIASHORT", "{name}");
    }
}

/// SIG-01.
#[test]
fn a_request_without_a_signature_lacks_a_token() {
    let expected = (
        403,
        "MissingAuthenticationTokenException",
        "Missing Authentication Token".to_owned(),
    );
    assert_eq!(refusal(&without("plain", "authorization")), expected);
    let mut sent = vector("presigned");
    sent.query = "MaxItems=7".to_owned();
    assert_eq!(refusal(&sent), expected);
}

/// SIG-01.
#[test]
fn another_algorithm_is_refused_by_its_name() {
    for (from, to) in [
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("AWS4-HMAC-SHA256", "aws4-hmac-sha256"),
        ("AWS4-HMAC-SHA256", "Bearer"),
    ] {
        for name in ["plain", "presigned"] {
            let text = format!(
                "Unsupported AWS 'algorithm': '{to}'. Only 'AWS4-HMAC-SHA256' is supported."
            );
            assert_eq!(refusal(&with(name, from, to)), (403, INCOMPLETE, text));
        }
    }
}

/// SIG-01.
#[test]
fn a_request_with_two_signatures_is_refused() {
    let mut both = vector("presigned");
    let (name, value) = vector("plain").headers.pop().unwrap();
    assert_eq!(name, "Authorization");
    both.headers.push((name, value.clone()));
    assert!(matches!(
        admit(&verifier(), &both),
        Err(SignatureError::TwoForms)
    ));

    let twice = and("plain", "authorization", &value);
    assert!(matches!(
        admit(&verifier(), &twice),
        Err(SignatureError::Repeated {
            what: "authorization"
        })
    ));

    for parameter in [
        "X-Amz-Signature",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
    ] {
        let again = with("presigned", "MaxItems=7", &format!("{parameter}=1"));
        assert_eq!(
            refusal(&again).2,
            format!("'{parameter}' must appear only once in the request.")
        );
    }
}

/// SIG-02.
#[test]
fn a_signature_that_lacks_a_part_is_incomplete_and_names_the_part() {
    for part in ["Credential", "SignedHeaders", "Signature"] {
        let authorization = without_part(part);
        let mut sent = vector("plain");
        *sent.header("authorization").unwrap() = authorization;
        let text = format!("Authorization header requires '{part}' parameter.");
        assert_eq!(refusal(&sent), (403, INCOMPLETE, text));
    }
    let text =
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
            .to_owned();
    assert_eq!(
        refusal(&without("plain", "x-amz-date")),
        (403, INCOMPLETE, text)
    );
    for part in ["X-Amz-Algorithm", "X-Amz-Expires"] {
        let sent = with("presigned", part, "X");
        let text = format!("AWS query-string authentication requires '{part}' parameter.");
        assert_eq!(refusal(&sent), (403, INCOMPLETE, text));
    }
}

/// The header of the plain vector but for this part.
fn without_part(part: &str) -> String {
    let mut sent = vector("plain");
    let authorization = sent.header("authorization").unwrap();
    let (algorithm, parts) = authorization.split_once(' ').unwrap();
    let kept = parts
        .split(", ")
        .filter(|piece| !piece.starts_with(&format!("{part}=")));
    format!("{algorithm} {}", kept.collect::<Vec<_>>().join(","))
}

/// SIG-02.
#[test]
fn a_malformed_part_of_a_signature_makes_it_incomplete() {
    let changes = [
        ("plain", "Signature=", "Signature"),
        ("plain", "Signature=", "signature="),
        ("plain", "Signature=2", "Signature=A"),
        ("plain", "Signature=27", "Signature="),
        ("plain", "Signature=2", "Signature=22"),
        ("plain", "Signature=2", "Signature= 2"),
        ("plain", ", Signature", ",, Signature"),
        ("plain", ", Signature", ", Signature=1, Signature"),
        ("plain", ", Signature", ", Other=1, Signature"),
        ("plain", "/aws4_request", ""),
        ("plain", "/aws4_request", "/aws4_request/more"),
        ("plain", "Credential=AKIDEXAMPLE", "Credential="),
        ("plain", "host;", "Host;"),
        ("plain", "host;", "host;host;"),
        ("plain", "host;x-amz-date", "x-amz-date;host"),
        ("plain", "host;", "host;;"),
        ("plain", "host;", "host;l\u{ef}ne;"),
        ("presigned", "Expires=600", "Expires=0"),
        ("presigned", "Expires=600", "Expires=604801"),
        ("presigned", "Expires=600", "Expires="),
        ("presigned", "Expires=600", "Expires=%2B600"),
        ("presigned", "Expires=600", "Expires=99999999999999999999"),
        ("presigned", "X-Amz-Date=20260228", "X-Amz-Date=20260229"),
        ("presigned", "AKIDEXAMPLE", "%FF"),
    ];
    for (name, from, to) in changes {
        let (status, code, text) = refusal(&with(name, from, to));
        assert_eq!((status, code), (403, INCOMPLETE), "{from} -> {to}: {text}");
    }
    let text = "'Signature2729a05f7bb58d038599a57676f499f557de800ea8c8e900d30ac49' not a valid key=value pair \
                (missing equal-sign) in Authorization header.";
    assert_eq!(refusal(&with("plain", "Signature=", "Signature")).2, text);
}

/// SIG-03.
#[test]
fn a_foreign_credential_scope_is_refused_with_the_reason() {
    let refusals = [
        (
            "aws4_request",
            "aws4",
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws4'.",
        ),
        (
            "/lambda/",
            "/s3/",
            "Credential should be scoped to correct service: 'lambda'.",
        ),
        (
            "/eu-central-1/",
            "/us-east-1/",
            "Credential should be scoped to a valid region, not 'us-east-1'.",
        ),
        (
            "/20260228/",
            "/20260227/",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
             '20260227' != '20260228', from '20260228T235930Z'.",
        ),
    ];
    for (from, to, text) in refusals {
        assert_eq!(
            refusal(&with("plain", from, to)),
            (403, INVALID, text.to_owned())
        );
        let (from, to) = (from.replace('/', "%2F"), to.replace('/', "%2F"));
        let presigned = with("presigned", &from, &to);
        assert_eq!(refusal(&presigned), (403, INVALID, text.to_owned()));
    }
}

/// SIG-04, UNV-11: five minutes either way, to the second; the texts are AWS's.
#[test]
fn clocks_may_be_five_minutes_apart() {
    for shift in [-300, 0, 300] {
        verify(&verifier(), &at("plain", shift)).unwrap();
    }
    let text = "Signature expired: 20260228T235930Z is now earlier than 20260228T235931Z (20260301T000431Z - 5 min.)";
    assert_eq!(refusal(&at("plain", 301)), (403, INVALID, text.to_owned()));
    let text = "Signature not yet current: 20260228T235930Z is still later than 20260228T235929Z (20260228T235429Z + 5 min.)";
    assert_eq!(refusal(&at("plain", -301)), (403, INVALID, text.to_owned()));
}

/// SIG-04.
#[test]
fn the_clock_window_can_be_set() {
    let narrow = || verifier().clock_window(Duration::from_secs(10));
    verify(&narrow(), &at("plain", 10)).unwrap();
    let error = verify(&narrow(), &at("plain", 11)).unwrap_err();
    assert!(error.to_string().ends_with("- 10 sec.)"), "{error}");
    assert!(verify(&narrow(), &at("plain", -11)).is_err());
}

#[test]
fn a_presigned_url_is_good_for_as_long_as_it_says() {
    for shift in [-300, 0, 600] {
        verify(&verifier(), &at("presigned", shift)).unwrap();
    }
    assert!(matches!(
        admit(&verifier(), &at("presigned", 601)),
        Err(SignatureError::Expired { .. })
    ));
    assert!(matches!(
        admit(&verifier(), &at("presigned", -301)),
        Err(SignatureError::NotYetCurrent { .. })
    ));
}

/// SIG-05.
#[test]
fn an_unknown_key_and_a_token_of_another_key_are_unrecognized() {
    let text = "The security token included in the request is invalid.".to_owned();
    let expected = (403, UNRECOGNIZED, text);
    assert_eq!(
        refusal(&with("plain", "AKIDEXAMPLE", "AKIDUNKNOWN")),
        expected
    );
    assert_eq!(
        refusal(&with("declared", "AKIDEXAMPLE", "AKIDUNKNOWN")),
        expected
    );
    let temporary = Credential::new("secret", Principal::new("a")).session_token("t");
    let keys = StaticCredentials::new().key("AKIDEXAMPLE", temporary);
    let error = admit(&Verifier::new("eu-central-1", keys), &vector("plain"));
    assert_eq!(answer(&error.unwrap_err()), expected);
    let mut other = vector("temporary");
    *other.header("x-amz-security-token").unwrap() = "u".to_owned();
    assert_eq!(refusal(&other), expected);
    // A token with a key that has none.
    assert_eq!(
        refusal(&with("temporary", "ASIASHORT", "AKIDEXAMPLE")),
        expected
    );
    assert_eq!(
        refusal(&with("presigned temporary", "Token=t", "Token=u")),
        expected
    );
}

/// SIG-05.
#[test]
fn an_expired_credential_is_refused_from_its_last_second_on() {
    let sent = vector("temporary");
    let expiring = |expires| {
        let credential = Credential::new("another", Principal::new("a"))
            .session_token("t")
            .expires(expires);
        Verifier::new(
            "eu-central-1",
            StaticCredentials::new().key("ASIASHORT", credential),
        )
    };
    verify(&expiring(sent.now() + Duration::from_secs(1)), &sent).unwrap();
    let error = verify(&expiring(sent.now()), &sent).unwrap_err();
    let text = "The security token included in the request is expired".to_owned();
    assert_eq!(answer(&error), (403, "ExpiredTokenException", text));
}

/// SIG-08.
#[test]
fn a_wrong_secret_does_not_match() {
    let keys =
        StaticCredentials::new().key("AKIDEXAMPLE", Credential::new("wrong", Principal::new("a")));
    let verifier = Verifier::new("eu-central-1", keys);
    let text = "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                Access Key and signing method. Consult the service documentation for details.";
    for name in ["plain", "declared", "presigned"] {
        let error = verify(&verifier, &vector(name)).unwrap_err();
        assert_eq!(answer(&error), (403, INVALID, text.to_owned()), "{name}");
    }
}

/// SIG-09, and every other header of which AWS says that it has to be signed.
#[test]
fn headers_that_decide_the_meaning_of_a_request_must_be_signed() {
    let must_be_signed = |sent: &Sent, header: &str| {
        let text = format!("'{header}' must be a 'SignedHeader' in the AWS Authorization.");
        assert_eq!(refusal(sent), (403, INCOMPLETE, text));
    };
    must_be_signed(&with("plain", "host;", ""), "host");
    must_be_signed(&with("plain", "x-amz-date;", ""), "x-amz-date");
    must_be_signed(
        &with("plain", ";x-amz-invocation-type", ""),
        "X-Amz-Invocation-Type",
    );
    must_be_signed(
        &with("temporary", ";x-amz-security-token", ""),
        "X-Amz-Security-Token",
    );
    must_be_signed(
        &with("presigned", "SignedHeaders=host", "SignedHeaders=date"),
        "host",
    );
    must_be_signed(
        &and("presigned", "x-amz-invocation-type", "DryRun"),
        "x-amz-invocation-type",
    );
}

/// SIG-06: the signature covers the body's hash, whether the header that declares it is signed or not.
#[test]
fn the_hash_of_the_body_need_not_be_named_among_the_signed_headers() {
    let hash_of = |body: &[u8]| -> String {
        let bytes = redrive::http::sigv4::BodyHash::of(body);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let declaring = |hash: &str| and("plain", "x-amz-content-sha256", hash);
    let body = vector("plain").body;
    verify(&verifier(), &declaring(&hash_of(&body))).unwrap();
    let (status, code, _) = refusal(&declaring(&hash_of(b"another")));
    assert_eq!((status, code), (403, INVALID));
    for word in ["UNSIGNED-PAYLOAD", "", "0"] {
        let (status, code, _) = refusal(&declaring(word));
        assert_eq!((status, code), (403, INCOMPLETE), "{word}");
    }
    let mut other_body = declaring(&hash_of(&body));
    other_body.set_body(b"another".to_vec());
    assert!(matches!(
        verify(&verifier(), &other_body),
        Err(SignatureError::BodyMismatch)
    ));
}

#[test]
fn a_header_named_as_signed_must_be_present() {
    let text =
        "'x-amz-invocation-type' is named in SignedHeaders and is not a header of the request.";
    let sent = without("plain", "x-amz-invocation-type");
    assert_eq!(refusal(&sent), (403, INCOMPLETE, text.to_owned()));
}

#[test]
fn headers_that_may_appear_once_are_refused_twice() {
    for header in ["host", "x-amz-date", "x-amz-content-sha256"] {
        let mut sent = vector("declared");
        let value = sent.header(header).unwrap().clone();
        sent.headers.push((header.to_owned(), value));
        assert_eq!(
            refusal(&sent).2,
            format!("'{header}' must appear only once in the request.")
        );
    }
}

#[test]
fn an_unsigned_body_is_refused_and_says_so() {
    for word in ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"] {
        let mut sent = vector("declared");
        *sent.header("x-amz-content-sha256").unwrap() = word.to_owned();
        let text = format!(
            "'x-amz-content-sha256' must be the SHA-256 of the body: '{word}' leaves the body unsigned and is not supported."
        );
        assert_eq!(refusal(&sent), (403, INCOMPLETE, text));
    }
}

#[test]
fn a_declared_body_hash_is_verified_before_and_after_the_body_is_read() {
    let verifier = verifier();
    let wrong = with("declared", "Signature=8", "Signature=9");
    assert!(matches!(
        admit(&verifier, &wrong),
        Err(SignatureError::Mismatch)
    ));

    let mut sent = vector("declared");
    sent.set_body(b"{\"key\":2}".to_vec());
    let claim = admit(&verifier, &sent).unwrap();
    let error = verifier
        .settle(claim, &sent.body_hash, sent.now())
        .unwrap_err();
    assert_eq!(
        (error.status(), error.code()),
        (400, "XAmzContentSHA256Mismatch")
    );
}

/// botocore hashes the body of a presigned request for Lambda as that of any other: usually the empty one.
#[test]
fn a_presigned_url_takes_no_other_body_than_it_signs() {
    let mut sent = vector("presigned");
    sent.set_body(b"{}".to_vec());
    let error = verify(&verifier(), &sent).unwrap_err();
    assert!(matches!(error, SignatureError::Mismatch), "{error}");
}

/// Some servers read a `+` as a space and others as a plus, so a `+` and a space have different signatures.
#[test]
fn a_plus_in_a_query_is_not_a_space() {
    for query in [
        "MaxItems=7&Marker=a+b",
        "MaxItems=7&Marker=a%2Bb",
        "MaxItems=7&Marker=a%2520b",
    ] {
        let mut sent = vector("temporary");
        sent.query = query.to_owned();
        assert!(
            matches!(verify(&verifier(), &sent), Err(SignatureError::Mismatch)),
            "{query}"
        );
    }
    let mut equal = vector("temporary");
    equal.query = "Marker=%61%20b&Max%49tems=7".to_owned();
    verify(&verifier(), &equal).unwrap();
}

#[test]
fn every_part_of_a_request_is_bounded() {
    let long = "x".repeat(20_000);
    let mut path = vector("plain");
    path.path.push_str(&long);
    let mut query = vector("plain");
    query.query = long.clone();
    let mut headers = vector("plain");
    headers
        .headers
        .extend((0..100).map(|at| (format!("x-{at}"), String::new())));
    let mut authorization = vector("plain");
    authorization
        .header("authorization")
        .unwrap()
        .push_str(&long);
    let signed = with("plain", "host;", &format!("host;{};", "x".repeat(5_000)));
    for sent in [path, query, headers, authorization, signed] {
        let error = admit(&verifier(), &sent).unwrap_err();
        assert!(matches!(error, SignatureError::TooLong { .. }), "{error}");
    }
    let key = with("plain", "AKIDEXAMPLE", &"x".repeat(129));
    assert_eq!(refusal(&key).1, INCOMPLETE);
}

#[test]
fn neither_errors_nor_debug_show_a_secret() {
    let credential = Credential::new("s3cret-one", Principal::new("a")).session_token("s3cret-two");
    let shown = format!("{credential:?}");
    let keys = StaticCredentials::new().key("ASIASHORT", credential);
    let shown = format!("{shown}{keys:?}");
    let verifier = Verifier::new("eu-central-1", keys);
    let error = verify(&verifier, &vector("temporary")).unwrap_err();
    let shown = format!("{shown}{verifier:?}{error}{error:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

/// A log line with a request contains no signature and no token, in any form.
#[test]
fn debug_of_a_request_shows_neither_signature_nor_token() {
    for name in [
        "plain",
        "declared",
        "temporary",
        "presigned",
        "presigned temporary",
    ] {
        let sent = vector(name);
        let request = sent.request();
        let claim = admit(&verifier(), &sent).unwrap();
        let shown = format!("{request:?}{request:#?}{claim:?}{claim:#?}");
        assert!(shown.contains(&sent.path), "{shown}");
        let values = sent.headers.iter().map(|(_, value)| value.clone());
        let parameters = sent.query.split('&').map(|part| {
            let value = part.split_once('=').map_or("", |(_, value)| value);
            value.to_owned()
        });
        for secret in values.chain(parameters).filter(|value| value.len() > 8) {
            let bytes = format!("{:?}", secret.as_bytes());
            assert!(!shown.contains(&secret), "{secret} in {shown}");
            assert!(!shown.contains(&bytes), "{secret} in {shown}");
        }
        assert!(!shown.contains("signature"), "{shown}");
    }
}

/// A source of credentials that is down.
struct Down;

impl Credentials for Down {
    fn find<'a>(&'a self, _: &'a str) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>> {
        Box::pin(ready(Err("postgres://user:password@db is down".into())))
    }
}

#[test]
fn a_failed_credential_lookup_is_a_server_error_that_hides_its_reason() {
    let error = verify(&Verifier::new("eu-central-1", Down), &vector("plain")).unwrap_err();
    let text = "The credentials could not be looked up.".to_owned();
    assert_eq!(answer(&error), (500, "ServiceException", text));
    assert!(error.source().unwrap().to_string().contains("postgres"));
}

#[test]
fn a_principal_has_the_account_of_its_arn() {
    let principal = Principal::new("arn:aws:iam::123456789012:user/alice");
    assert_eq!(principal.account, "123456789012");
    assert_eq!(principal.user_id, principal.arn);
    let principal = Principal::new("alice").account("1").user_id("AIDA");
    assert_eq!(
        (principal.account.as_str(), principal.user_id.as_str()),
        ("1", "AIDA")
    );
}

#[test]
fn a_verifier_can_be_shared_and_awaited_on_any_thread() {
    fn on_any_thread<T: Send>(_: T) {}
    let (verifier, sent) = (verifier(), vector("plain"));
    on_any_thread(&verifier);
    on_any_thread(verifier.admit(&sent.request(), sent.now()));
}

proptest! {
    /// Every random request is refused.
    #[test]
    fn arbitrary_requests_are_refused_without_a_panic(
        method in ".{0,8}",
        path in "\\PC{0,40}",
        query in "(X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature)=|AWS4-HMAC-SHA256|[&=%+/a1é]){0,20}",
        names in prop::collection::vec("(?i)host|authorization|x-amz-date|x-amz-[a-z0-9-]{0,20}|\\PC{0,9}", 0..8),
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 8),
        authorization in "AWS4-HMAC-SHA256 ((Credential|SignedHeaders|Signature)=[a-z0-9/;é]{0,70}|[, =;/]){0,6}",
    ) {
        let mut headers: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(values.iter().map(Vec::as_slice)).collect();
        headers.push(("authorization", authorization.as_bytes()));
        let verifier = verifier();
        for headers in [&headers[..], &headers[..headers.len() - 1]] {
            let request = SignedRequest::new(&method, &path, &query, headers.iter().copied());
            let now = vector("plain").now();
            let answer = futures_util::FutureExt::now_or_never(verifier.admit(&request, now)).unwrap();
            prop_assert!(answer.is_err());
        }
    }
}
