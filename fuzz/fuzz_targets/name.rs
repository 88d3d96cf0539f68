//! Names, ARNs and qualifiers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redrive_fuzz::{encoded, parts, request};

fuzz_target!(|data: &[u8]| {
    let [name, qualifier] = parts(data);
    let (name, qualifier) = (encoded(name), encoded(qualifier));
    request(
        "GET",
        &format!("/2015-03-31/functions/{name}?Qualifier={qualifier}"),
        &[],
        b"",
    );
    request(
        "GET",
        &format!("/2015-03-31/functions/{name}/configuration"),
        &[],
        b"",
    );
});
