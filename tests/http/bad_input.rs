//! What no AWS client would send. Each gets an answer of AWS's shape, and the next request is served as ever.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::support::{Served, invocations, read, serve};

async fn works(served: &Served) {
    let answer = served.invoke("echo", "RequestResponse", b"7").await;
    assert_eq!((answer.status, &*answer.body), (200, &b"7"[..]));
}

/// INV-09
#[actix::test]
async fn a_body_that_is_no_json_is_refused() {
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
    // It is JSON, and no value of the handler's; too deep for this test to read too.
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

/// Refused by what is announced, before any of it came.
#[actix::test]
async fn a_body_that_is_announced_too_large_is_not_waited_for() {
    let served = serve().await;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nX-Amz-Invocation-Type: Event\r\nContent-Length: 999999999999\r\n\r\n",
        invocations("echo")
    );
    let mut stream = served.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    // What it sends is thrown away, up to a point; then it has its answer.
    let (mut reading, mut writing) = stream.split();
    let write = async {
        while writing.write_all(&[b'x'; 1 << 16]).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! {
        answer = read(&mut reading) => answer,
        () = write => None,
    };
    // The connection may be gone before the answer is read: then there is none, and nothing was kept.
    if let Some(answer) = answer {
        assert_eq!(answer.error().0, 413);
    }
    let stats = served.get("/_redrive/stats").await.json();
    assert_eq!(stats["AsyncEventsReceived"], 0);
    works(&served).await;
}

/// Of a body without a length no more is kept than may be.
#[actix::test]
async fn a_chunked_body_is_counted_as_it_comes() {
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

/// What was not sent to its end is not invoked.
#[actix::test]
async fn a_body_that_breaks_off_is_no_event() {
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

/// ERR-01: a path that means nothing has an answer with a body.
#[actix::test]
async fn unknown_paths_and_methods_are_told() {
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

/// Headers and queries that make no sense.
#[actix::test]
async fn faulty_headers_and_queries_are_told() {
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
    let answer = served.get("/2015-03-31/functions?Marker=%25%25").await;
    assert_eq!(answer.error(), (400, "InvalidParameterValueException"));
    works(&served).await;
}

/// INV-28: a head beyond all bounds is refused, whoever sends it, and others are served meanwhile.
#[actix::test]
async fn a_flood_of_headers_ends_with_its_connection() {
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
    assert!(answer.is_none_or(|answer| answer.status >= 400));
    works(&served).await;
}
