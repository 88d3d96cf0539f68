//! Requests that no AWS client sends. Each gets an AWS-style error, and the next request is served as usual.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

use crate::support::{Served, invocations, read, read_one, serve};

async fn works(served: &Served) {
    let answer = served.invoke("echo", "RequestResponse", b"7").await;
    assert_eq!((answer.status, &*answer.body), (200, &b"7"[..]));
}

/// INV-09
#[actix::test]
async fn a_body_that_is_not_json_is_refused() {
    let served = serve().await;
    for body in [
        &b"{"[..],
        b"{} {}",
        b"\xff\xfe",
        b"nul",
        b"{\"a\":\"\xc3\x28\"}",
        b" ",
    ] {
        for kind in ["Event", "RequestResponse", "DryRun"] {
            let answer = served.invoke("echo", kind, body).await;
            assert_eq!(answer.error(), (400, "InvalidRequestContentException"));
            let begins =
                "Could not parse request body into json: Could not parse payload into json: ";
            assert!(answer.message().starts_with(begins), "{}", answer.message());
        }
    }
    works(&served).await;
}

/// A stack overflow would end the process.
#[actix::test]
async fn no_depth_of_json_overflows_a_stack() {
    let served = serve().await;
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let event = served.invoke("echo", "Event", &deep).await;
    assert_eq!(event.status, 202);
    let id = event.header("x-amzn-requestid").unwrap();
    let status = served.get(&format!("/_redrive/events/{id}?wait=30")).await;
    // It is JSON, but not a value of the handler's type, and too deep for this test to parse.
    let told = String::from_utf8(status.body).unwrap();
    assert!(status.status == 200 && told.contains(r#""state":"dead""#));
    let letters = served.get("/_redrive/dead-letters").await;
    assert!(letters.status == 200 && letters.body.len() > 200_000);
    let open = vec![b'['; 100_000];
    assert_eq!(served.invoke("echo", "Event", &open).await.error().0, 400);
    for (method, path) in [
        ("PUT", "/2019-09-25/functions/echo/event-invoke-config"),
        ("PUT", "/2017-10-31/functions/echo/concurrency"),
        ("POST", "/_redrive/dead-letters/redrive"),
    ] {
        let answer = served.request(method, path, &[], &deep).await;
        assert!(matches!(answer.error().0, 400 | 413), "{path}: {answer:?}");
    }
    works(&served).await;
}

/// INV-26, INV-27, INV-29: the last byte that fits, and the first that doesn't.
#[actix::test]
async fn sizes_are_limited_by_type() {
    let served = serve().await;
    let body = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes();
    assert_eq!(
        served
            .invoke("echo", "Event", &body(1_048_576))
            .await
            .status,
        202
    );
    let answer = served.invoke("echo", "Event", &body(1_048_577)).await;
    assert_eq!(answer.error(), (413, "RequestEntityTooLargeException"));
    assert_eq!(
        answer.message(),
        "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"
    );
    assert_eq!(
        served
            .invoke("echo", "RequestResponse", &body(6_291_456))
            .await
            .status,
        200
    );
    let answer = served
        .invoke("echo", "RequestResponse", &body(6_291_457))
        .await;
    assert_eq!(answer.error(), (413, "RequestEntityTooLargeException"));
    assert_eq!(
        answer.message(),
        "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    );
    works(&served).await;
}

/// Refused by the announced length, before any byte of the body.
#[actix::test]
async fn a_body_announced_too_large_is_refused_at_once() {
    let served = serve().await;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nX-Amz-Invocation-Type: Event\r\nContent-Length: 999999999999\r\n\r\n",
        invocations("echo")
    );
    let mut stream = served.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server discards the body, up to a bound; then the client reads the response.
    let (mut reading, mut writing) = stream.split();
    let write = async {
        while writing.write_all(&[b'x'; 1 << 16]).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! {
        answer = read(&mut reading) => answer,
        () = write => None,
    };
    // The connection may be gone before the response is read. Then there is none, and no event was kept.
    if let Some(answer) = answer {
        assert_eq!(answer.error().0, 413);
    }
    let stats = served.get("/_redrive/stats").await.json();
    assert_eq!(stats["AsyncEventsReceived"], 0);
    works(&served).await;
}

/// The limit holds for a body without a declared length too.
#[actix::test]
async fn a_chunked_body_is_limited_while_it_arrives() {
    let served = serve().await;
    let chunked = |chunks: usize| {
        let mut bytes = format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\nX-Amz-Invocation-Type: Event\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\"\r\n",
            invocations("echo")
        )
        .into_bytes();
        for _ in 0..chunks {
            bytes.extend_from_slice(b"10000\r\n");
            bytes.extend_from_slice(&vec![b'x'; 0x10000]);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"1\r\n\"\r\n0\r\n\r\n");
        bytes
    };
    assert_eq!(served.raw(&chunked(2)).await.status, 202);
    let answer = served.raw(&chunked(32)).await;
    assert_eq!(answer.error(), (413, "RequestEntityTooLargeException"));
    works(&served).await;
}

/// A truncated body invokes nothing.
#[actix::test]
async fn a_truncated_body_does_not_become_an_event() {
    let served = serve().await;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nX-Amz-Invocation-Type: Event\r\nContent-Length: 100\r\n\r\n{{}}",
        invocations("echo")
    );
    let mut stream = served.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read(&mut stream).await;
    assert!(answer.is_none_or(|answer| answer.status == 400));
    let stats = served.get("/_redrive/stats").await.json();
    assert_eq!(stats["AsyncEventsReceived"], 0);
    works(&served).await;
}

/// ERR-01: an unknown path gets a response with a body.
#[actix::test]
async fn unknown_paths_and_methods_get_an_error_body() {
    let served = serve().await;
    for (method, path) in [
        ("GET", &*invocations("echo")),
        ("PATCH", "/2015-03-31/functions/echo"),
        ("GET", "/2015-03-31/nonsense"),
        ("GET", "/_redrive/nonsense"),
        ("POST", "/_redrive/stats"),
        ("GET", "/2015-03-31/functions/a/b/c/d/e/f/g/h"),
    ] {
        let answer = served.request(method, path, &[], b"").await;
        assert_eq!(
            answer.error(),
            (404, "UnknownOperationException"),
            "{method} {path}"
        );
        assert!(answer.message().contains(method));
    }
}

/// Malformed headers and queries.
#[actix::test]
async fn faulty_headers_and_queries_are_refused_with_the_reason() {
    let served = serve().await;
    let path = invocations("echo");
    for header in [
        ("X-Amz-Invocation-Type", "Later"),
        ("X-Amz-Log-Type", "Head"),
    ] {
        let answer = served.request("POST", &path, &[header], b"1").await;
        assert_eq!(answer.error(), (400, "ValidationException"));
        assert!(
            answer
                .message()
                .contains("Member must satisfy enum value set: [")
        );
    }
    let mut bytes =
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Amz-Invocation-Type: ").into_bytes();
    bytes.extend_from_slice(b"\xff\xfe\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(served.raw(&bytes).await.status, 400);
    let answer = served
        .request(
            "POST",
            "/2015-03-31/functions/%ff%fe/invocations",
            &[],
            b"1",
        )
        .await;
    assert_eq!(answer.error(), (400, "InvalidParameterValueException"));
    let answer = served.get("/2015-03-31/functions?MaxItems=0").await;
    assert_eq!(answer.error(), (400, "ValidationException"));
    let answer = served.get("/2015-03-31/functions?MaxItems=x").await;
    assert_eq!(answer.error(), (400, "SerializationException"));
    assert!(answer.message().starts_with("MaxItems 'x' is not a number"));
    let answer = served.get("/2015-03-31/functions?Marker=%25%25").await;
    assert_eq!(answer.error(), (400, "InvalidParameterValueException"));
    works(&served).await;
}

/// ERR-01, ERR-02: bytes that never become a request get an AWS-style error too, and the connection ends.
#[actix::test]
async fn malformed_http_gets_an_error_of_awss_shape() {
    let served = serve().await;
    let post = |rest: &str| {
        let path = invocations("echo");
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{rest}\r\n\r\n7").into_bytes()
    };
    let flood: String = (0..200)
        .map(|number| format!("X-{number}: x\r\n"))
        .collect();
    let long = "n".repeat(70_000);
    for (status, bytes) in [
        (400, b"GARBAGE\r\n\r\n".to_vec()),
        (
            400,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        ),
        (400, "GET /ä HTTP/1.1\r\nHost: localhost\r\n\r\n".into()),
        (400, b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        (400, b"GET / HTTP/3.7\r\nHost: localhost\r\n\r\n".to_vec()),
        (
            400,
            format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n").into(),
        ),
        (400, post("Content-Length: two")),
        (400, post("Content-Length: -1")),
        (400, post("Content-Length: 1\r\nContent-Length: 2")),
        (400, post("Content-Length: 1\r\nTransfer-Encoding: chunked")),
        (400, post("Transfer-Encoding: gzip")),
        (400, post("no header")),
        (431, post(&format!("{flood}Content-Length: 1"))),
        (431, post(&format!("X-Long: {}", "x".repeat(200_000)))),
    ] {
        let answer = served.raw(&bytes).await;
        let sent = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]);
        let code = match status {
            431 => "RequestHeaderFieldsTooLargeException",
            _ => "InvalidRequestContentException",
        };
        assert_eq!(answer.error(), (status, code), "{sent}");
        assert_eq!(answer.json()["Type"], "User", "{sent}");
        let why = if status == 431 {
            "96 headers"
        } else {
            "HTTP/1.1"
        };
        assert!(answer.message().contains(why), "{sent}");
        assert_eq!(answer.header("connection"), Some("close"), "{sent}");
        assert!(answer.header("date").is_some(), "{sent}");
    }
    works(&served).await;
}

/// The error ends a connection that has served other requests, and does not mix with their responses.
#[actix::test]
async fn a_malformed_request_does_not_disturb_earlier_responses() {
    let served = serve().await;
    let mut stream = BufReader::new(served.connect().await);
    // The text of such a response, as far as JSON can hold it.
    let result = r#""HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n""#;
    let payload = format!("{result}\r\n\r\n");
    let (path, length) = (invocations("echo"), payload.len());
    for (kind, status) in [("RequestResponse", 200), ("Event", 202), ("DryRun", 204)] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Amz-Invocation-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{payload}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_one(&mut stream).await.unwrap();
        assert_eq!(answer.status, status);
        let expected = if status == 200 { result } else { "" };
        assert_eq!(answer.body, expected.as_bytes());
    }
    stream.write_all(b"NONSENSE\r\n\r\n").await.unwrap();
    let last = read_one(&mut stream).await.unwrap();
    assert_eq!(last.error(), (400, "InvalidRequestContentException"));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

/// INV-26, INV-27: a client that sends `Expect: 100-continue` gets the refusal at once.
#[actix::test]
async fn a_body_that_is_too_large_gets_no_100_continue() {
    let served = serve().await;
    for (kind, length, status) in [
        ("Event", 1_048_577, "413"),
        ("RequestResponse", 6_291_457, "413"),
        ("Event", 1_048_576, "100"),
        ("RequestResponse", 6_291_456, "100"),
    ] {
        let path = invocations("echo");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Amz-Invocation-Type: {kind}\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        );
        let mut stream = served.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(first, format!("HTTP/1.1 {status}").as_bytes(), "{kind}");
        if status == "413" {
            let mut rest = first.chain(&mut stream);
            let answer = read(&mut rest).await.unwrap();
            assert_eq!(answer.error(), (413, "RequestEntityTooLargeException"));
            assert!(answer.message().contains(&(length - 1).to_string()));
        }
    }
    works(&served).await;
}

/// INV-28: a head beyond all bounds is refused for every client, and others are served meanwhile.
#[actix::test]
async fn a_flood_of_headers_is_refused_and_its_connection_closed() {
    let served = serve().await;
    let mut stream = served.connect().await;
    let mut head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\n",
        invocations("echo")
    );
    for number in 0..20_000 {
        head.push_str(&format!("X-Flood-{number}: {}\r\n", "x".repeat(100)));
    }
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = tokio::time::timeout(Duration::from_secs(30), read(&mut stream)).await;
    let answer = answer.expect("the connection ends");
    let answer = answer.expect("it is told why");
    assert_eq!(
        answer.error(),
        (431, "RequestHeaderFieldsTooLargeException")
    );
    works(&served).await;
}
