//! Signatures: whatever a head says, nobody gets in who hasn't signed.
#![no_main]

use std::sync::LazyLock;
use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use redrive::http::sigv4::{BodyHash, Credential, Principal, SignedRequest, StaticCredentials, Verifier};
use redrive_fuzz::parts;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let ada = Principal::new("arn:aws:iam::000000000000:user/ada");
    let keys = StaticCredentials::new().key("AKIDEXAMPLE", Credential::new("secret", ada));
    Verifier::new("us-east-1", keys)
});

fuzz_target!(|data: &[u8]| {
    let [authorization, date, path, query, header, value, body] = parts(data);
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or("/");
    let headers = [
        ("host", &b"localhost:9000"[..]),
        ("authorization", authorization),
        ("x-amz-date", date),
        (text(header), value),
    ];
    let headers = headers.into_iter().filter(|(_, value)| !value.is_empty());
    let request = SignedRequest::new("POST", text(path), text(query), headers);
    // 2026-01-01T00:00:00Z, the date of the corpus.
    let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_767_225_600);
    let served = actix_rt::System::new().block_on(async {
        let claim = VERIFIER.admit(&request, now).await.ok()?;
        VERIFIER.settle(claim, &BodyHash::of(body), now).ok()
    });
    assert!(served.is_none(), "nobody has signed this");
});
