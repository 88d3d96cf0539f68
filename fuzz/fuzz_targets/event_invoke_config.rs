//! Bodies of event-invoke-config, and what becomes of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redrive_fuzz::request;

fuzz_target!(|data: &[u8]| {
    let path = "/2019-09-25/functions/echo/event-invoke-config";
    let (method, body) = match data.split_first() {
        Some((b'P', body)) => ("PUT", body),
        Some((_, body)) => ("POST", body),
        None => return,
    };
    if request(method, path, &[], body) == Some(200) {
        assert_eq!(
            request("GET", path, &[], b""),
            Some(200),
            "what was set is there"
        );
    }
});
