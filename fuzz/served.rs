//! The API over one function, in the thread that fuzzes: a request goes in, its answer comes out.

use std::cell::OnceCell;

use actix_rt::SystemRunner;
use actix_web::body::to_bytes;
use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, http::header::HeaderValue};
use redrive::http::LambdaApi;
use redrive::{Event, Function, Runtime};
use serde_json::Value;

struct Served {
    system: SystemRunner,
    runtime: Runtime,
}

thread_local! {
    // Never dropped: at a thread's end its other locals may be gone before.
    static SERVED: OnceCell<&'static Served> = const { OnceCell::new() };
}

fn start() -> &'static Served {
    let system = actix_rt::System::new();
    let echo = Function::new("echo", |event: Event<Value>| async move {
        Ok::<_, String>(event.payload().clone())
    });
    let builder = Runtime::builder().function(echo.version(1).alias("live", 1));
    let runtime = system.block_on(builder.start()).expect("it starts");
    Box::leak(Box::new(Served { system, runtime }))
}

/// Sends a request, as far as it is one, and answers the status.
///
/// # Panics
/// When the answer is not of AWS's shape.
pub fn request(method: &str, path: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Option<u16> {
    SERVED.with(|served| {
        let Served { system, runtime } = served.get_or_init(start);
        system.block_on(async {
            let api = LambdaApi::new(runtime.client());
            let app = init_service(App::new().configure(api.configure())).await;
            let method: Method = method.parse().ok()?;
            let uri: actix_web::http::Uri = path.parse().ok()?;
            let mut request = TestRequest::with_uri(&uri.to_string()).method(method);
            for (name, value) in headers {
                let value = HeaderValue::from_bytes(value).ok()?;
                request = request.insert_header((*name, value));
            }
            let request = request.set_payload(body.to_vec()).to_request();
            let response: ServiceResponse = call_service(&app, request).await;
            let (status, known) = (response.status(), response.headers().clone());
            let body = to_bytes(response.into_body()).await.ok()?;
            if known.contains_key("x-amzn-errortype") {
                assert!(
                    known.contains_key("x-amzn-requestid"),
                    "an answer without an id"
                );
                assert!(!status.is_success(), "an error with {status}");
                let told: Value = serde_json::from_slice(&body).expect("an error is told as JSON");
                assert!(
                    told.get("message").or(told.get("Message")).is_some(),
                    "no message"
                );
            }
            assert!(
                !status.is_server_error(),
                "{status}: {}",
                String::from_utf8_lossy(&body)
            );
            Some(status.as_u16())
        })
    })
}

/// A part of a path, with each byte encoded that means something there.
pub fn encoded(part: &[u8]) -> String {
    let mut text = String::new();
    for byte in part {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                text.push(char::from(*byte))
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// The data in so many parts, at its zero bytes.
pub fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut split = data.splitn(N, |byte| *byte == 0);
    [(); N].map(|()| split.next().unwrap_or_default())
}
