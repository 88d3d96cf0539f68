//! Invocations: a name, the headers, a body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redrive_fuzz::{encoded, parts, request};

fuzz_target!(|data: &[u8]| {
    let [name, kind, context, trace, id, body] = parts(data);
    let path = format!("/2015-03-31/functions/{}/invocations", encoded(name));
    let given = [
        ("x-amz-invocation-type", kind),
        ("x-amz-client-context", context),
        ("x-amzn-trace-id", trace),
        ("x-amzn-requestid", id),
    ];
    let headers: Vec<_> = given
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    request("POST", &path, &headers, body);
});
