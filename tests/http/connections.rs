//! Connections beyond one good request: several at once, bad ones behind good ones, slow clients, and ends.

use std::time::Duration;

use redrive::{Event, Function};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::{Served, builder, invocations, read_one, serve, serve_with};

/// Longer than every bound, and shorter than the longest stop.
const LONG: Duration = Duration::from_secs(25);

fn post(function: &str, kind: &str, body: &str) -> String {
    let (path, length) = (invocations(function), body.len());
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Amz-Invocation-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

async fn connect(served: &Served) -> BufReader<TcpStream> {
    BufReader::new(served.connect().await)
}

async fn say(stream: &mut BufReader<TcpStream>, bytes: impl AsRef<[u8]>) {
    stream.write_all(bytes.as_ref()).await.unwrap();
}

/// Checks that the connection is closed without more bytes.
async fn ended(stream: &mut BufReader<TcpStream>) {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await;
    let end = end.expect("the connection ends");
    assert!(end.is_ok() && rest.is_empty(), "{end:?} {rest:?}");
}

async fn running(served: &Served, function: &str, calls: u64) {
    let client = served.runtime.client();
    let wait = async {
        while client.function_stats(function).unwrap().calls.running != calls {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(LONG, wait).await;
    waited.unwrap_or_else(|_| panic!("there are never {calls} calls"));
}

const GARBAGE: [&[u8]; 4] = [
    b"GARBAGE\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET / HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: two\r\n\r\n",
];

/// ERR-01: a malformed request does not affect the ones before it.
#[actix::test]
async fn garbage_behind_a_request_is_refused_after_its_response() {
    let served = serve().await;
    for (function, kind, body, status) in [
        ("echo", "RequestResponse", "7", 200),
        ("echo", "Event", "7", 202),
        ("echo", "DryRun", "7", 204),
        ("sleep", "RequestResponse", "50", 200),
        ("fail", "RequestResponse", "{}", 200),
        ("nobody", "RequestResponse", "7", 404),
    ] {
        for garbage in GARBAGE {
            let mut stream = connect(&served).await;
            let request = post(function, kind, body);
            say(&mut stream, [request.as_bytes(), garbage].concat()).await;
            let answer = read_one(&mut stream).await.expect("its answer");
            assert_eq!(answer.status, status, "{function} {kind}");
            let refusal = read_one(&mut stream).await.expect("a refusal");
            assert_eq!(refusal.error(), (400, "InvalidRequestContentException"));
            assert_eq!(refusal.header("connection"), Some("close"));
            ended(&mut stream).await;
        }
    }
}

/// ERR-01: also where it comes while the call runs.
#[actix::test]
async fn garbage_during_a_call_is_refused_after_its_response() {
    let served = serve().await;
    for garbage in GARBAGE {
        let mut stream = connect(&served).await;
        say(&mut stream, post("sleep", "RequestResponse", "300")).await;
        running(&served, "sleep", 1).await;
        say(&mut stream, garbage).await;
        let answer = read_one(&mut stream).await.expect("its answer");
        assert_eq!((answer.status, answer.json()), (200, json!(300)));
        let refusal = read_one(&mut stream).await.expect("a refusal");
        assert_eq!(refusal.error(), (400, "InvalidRequestContentException"));
        ended(&mut stream).await;
    }
}

/// INV-13: every accepted event gets a response.
#[actix::test]
async fn each_of_many_pipelined_events_gets_a_response() {
    let served = serve().await;
    let mut stream = connect(&served).await;
    let events = post("echo", "Event", "7").repeat(50);
    say(&mut stream, events + "NONSENSE\r\n\r\n").await;
    for number in 0..50 {
        let answer = read_one(&mut stream).await.expect("its answer");
        assert_eq!(answer.status, 202, "{number}");
    }
    assert_eq!(read_one(&mut stream).await.unwrap().status, 400);
    ended(&mut stream).await;
    let stats = served.get("/_redrive/stats").await.json();
    assert_eq!(stats["AsyncEventsReceived"], 50);
}

/// The request before was a HEAD, whose response has no body; this response has one.
#[actix::test]
async fn a_refusal_after_a_head_request_has_a_body() {
    let served = serve().await;
    let mut stream = connect(&served).await;
    say(
        &mut stream,
        "HEAD /2015-03-31/functions HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 404 "));
    say(&mut stream, "NONSENSE\r\n\r\n").await;
    let refusal = read_one(&mut stream).await.unwrap();
    assert_eq!(refusal.error(), (400, "InvalidRequestContentException"));
    ended(&mut stream).await;
}

/// ERR-01: whether it is the connection's first, or comes behind others, at once or byte by byte.
#[actix::test]
async fn an_unfinished_head_times_out() {
    let served = serve().await;
    let begun = "POST / HTTP/1.1\r\nHost: loc";
    let good = post("echo", "RequestResponse", "7");
    let refused = async |mut stream: BufReader<TcpStream>| {
        let refusal = tokio::time::timeout(LONG, read_one(&mut stream)).await;
        let refusal = refusal.expect("it ends").expect("a refusal");
        assert_eq!(refusal.error(), (408, "RequestTimeoutException"));
        assert!(refusal.message().contains("10 s"), "{}", refusal.message());
        assert_eq!(refusal.header("connection"), Some("close"));
        ended(&mut stream).await;
    };
    let first = async {
        let mut stream = connect(&served).await;
        say(&mut stream, begun).await;
        refused(stream).await;
    };
    let behind = async {
        let mut stream = connect(&served).await;
        say(&mut stream, format!("{good}{begun}")).await;
        assert_eq!(read_one(&mut stream).await.unwrap().status, 200);
        refused(stream).await;
    };
    let later = async {
        let mut stream = connect(&served).await;
        say(&mut stream, &good).await;
        assert_eq!(read_one(&mut stream).await.unwrap().status, 200);
        say(&mut stream, "P").await;
        refused(stream).await;
    };
    let slowly = async {
        let mut stream = connect(&served).await;
        say(&mut stream, &good).await;
        assert_eq!(read_one(&mut stream).await.unwrap().status, 200);
        say(&mut stream, begun).await;
        let (reading, mut writing) = stream.into_inner().into_split();
        let drip = async {
            while writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            std::future::pending::<()>().await;
        };
        let mut reading = BufReader::new(reading);
        let refusal = tokio::select! {
            refusal = tokio::time::timeout(LONG, read_one(&mut reading)) => refusal,
            () = drip => unreachable!(),
        };
        assert_eq!(refusal.unwrap().unwrap().error().0, 408);
    };
    tokio::join!(first, behind, later, slowly);
}

/// ASY-01: nothing of it is an event.
#[actix::test]
async fn an_unfinished_body_times_out() {
    let served = serve().await;
    let whole = post("echo", "Event", "\"0123456789\"");
    let mut stream = connect(&served).await;
    say(&mut stream, &whole[..whole.len() - 5]).await;
    let refusal = tokio::time::timeout(LONG, read_one(&mut stream)).await;
    let refusal = refusal.expect("it ends").expect("a refusal");
    assert_eq!(refusal.error(), (408, "RequestTimeoutException"));
    assert_eq!(refusal.header("connection"), Some("close"));
    ended(&mut stream).await;
    let stats = served.get("/_redrive/stats").await.json();
    assert_eq!(stats["AsyncEventsReceived"], 0);
}

/// A stop does not wait for a client that neither sends nor reads.
#[actix::test]
async fn slow_clients_do_not_delay_a_stop() {
    let big = Function::new("big", |_: Event<Value>| async {
        Ok::<_, String>("x".repeat(5 << 20))
    });
    let served = serve_with(builder().function(big), |api| api).await;
    let mut half_a_head = connect(&served).await;
    say(&mut half_a_head, "POST / HT").await;
    let mut half_a_body = connect(&served).await;
    let whole = post("echo", "Event", "\"0123456789\"");
    say(&mut half_a_body, &whole[..whole.len() - 5]).await;
    let mut never_reads = connect(&served).await;
    say(
        &mut never_reads,
        post("big", "RequestResponse", "7").repeat(10),
    )
    .await;
    let mut good = connect(&served).await;
    say(&mut good, post("sleep", "RequestResponse", "2000")).await;
    running(&served, "sleep", 1).await;

    let stop = tokio::time::timeout(LONG, served.stop.stop(true));
    let answer = async {
        let answer = read_one(&mut good).await.expect("its answer");
        assert_eq!((answer.status, answer.json()), (200, json!(2000)));
        assert_eq!(answer.header("connection"), Some("close"));
    };
    let refusal = async {
        let refusal = read_one(&mut half_a_body).await.expect("a refusal");
        assert_eq!(refusal.error(), (408, "RequestTimeoutException"));
    };
    let (stopped, (), ()) = tokio::join!(stop, answer, refusal);
    stopped.expect("the stop waits for nobody who is slow");
    ended(&mut half_a_head).await;
}

/// The connection of a client that reads nothing is closed, during a stop and otherwise.
#[actix::test]
async fn a_response_that_the_client_does_not_read_is_dropped() {
    let big = Function::new("big", |_: Event<Value>| async {
        Ok::<_, String>("x".repeat(5 << 20))
    });
    let served = serve_with(builder().function(big), |api| api).await;
    let mut stream = connect(&served).await;
    let asked = 10;
    say(
        &mut stream,
        post("big", "RequestResponse", "7").repeat(asked),
    )
    .await;
    // Until the connection is closed, the system accepts more bytes.
    let hung_up = async {
        while stream.write_all(b"\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let hung_up = tokio::time::timeout(LONG, hung_up).await;
    hung_up.expect("it is hung up on");
    let calls = served.runtime.client().function_stats("big").unwrap().calls;
    assert!((calls.succeeded as usize) < asked, "{calls:?}");
}

/// A slow reader is not a stalled one: it reads some of its response all the time.
#[actix::test]
async fn a_slowly_read_response_arrives_whole() {
    let big = Function::new("big", |_: Event<Value>| async {
        Ok::<_, String>("x".repeat(5 << 20))
    });
    let served = serve_with(builder().function(big), |api| api).await;
    let mut stream = served.connect().await;
    let request = post("big", "RequestResponse", "7");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut taken = 0;
    let mut part = vec![0; 32 << 10];
    for _ in 0..30 {
        stream.read_exact(&mut part).await.unwrap();
        taken += part.len();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    while taken < 5 << 20 {
        let read = stream.read(&mut part).await.unwrap();
        assert_ne!(read, 0, "it is cut off after {taken} bytes");
        taken += read;
    }
}

/// INV-26: framing counts too.
#[actix::test]
async fn a_body_of_more_framing_than_data_is_refused() {
    let served = serve().await;
    let path = invocations("echo");
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    let long = "x".repeat(100_000);
    for chunks in [
        format!("1;{long}\r\n7\r\n0\r\n\r\n"),
        format!("1\r\n7\r\n0\r\nX-Trailer: {long}\r\n\r\n"),
        format!("{}1\r\n7\r\n0\r\n\r\n", "0".repeat(100_000)),
        "1\r\n7\r\n".repeat(30_000),
    ] {
        let refusal = served.raw((head.clone() + &chunks).as_bytes()).await;
        let begin = &chunks[..20];
        assert_eq!(
            refusal.error(),
            (400, "InvalidRequestContentException"),
            "{begin}"
        );
        assert!(refusal.message().contains("chunks"), "{begin}");
        assert_eq!(refusal.header("connection"), Some("close"), "{begin}");
    }
    // Small chunks of a real body are accepted.
    let many = "2\r\n  \r\n".repeat(10_000) + "1;n=v\r\n7\r\n0\r\nX-Sum: 7\r\n\r\n";
    let answer = served.raw((head + &many).as_bytes()).await;
    assert_eq!((answer.status, answer.json()), (200, json!(7)));
}

/// INV-01: a sender that closes its half of the connection can still read.
#[actix::test]
async fn a_client_that_closes_its_sending_half_gets_its_responses() {
    let served = serve().await;
    for (function, kind, status) in [
        ("echo", "Event", 202),
        ("echo", "DryRun", 204),
        ("sleep", "RequestResponse", 200),
    ] {
        let mut stream = connect(&served).await;
        say(&mut stream, post(function, kind, "50").repeat(3)).await;
        stream.shutdown().await.unwrap();
        for _ in 0..3 {
            let answer = read_one(&mut stream).await.expect("its answer");
            assert_eq!(answer.status, status);
        }
        ended(&mut stream).await;
    }
}

/// ERR-01
#[actix::test]
async fn a_client_that_breaks_off_gets_an_error() {
    let served = serve().await;
    let whole = post("echo", "Event", "\"0123456789\"");
    for sent in [20, whole.len() - 5] {
        let mut stream = connect(&served).await;
        say(&mut stream, &whole[..sent]).await;
        stream.shutdown().await.unwrap();
        let refusal = read_one(&mut stream).await.expect("a refusal");
        assert_eq!(refusal.error(), (400, "InvalidRequestContentException"));
        assert!(refusal.message().contains("it breaks off"), "{sent}");
        ended(&mut stream).await;
    }
    let stats = served.get("/_redrive/stats").await.json();
    assert_eq!(stats["AsyncEventsReceived"], 0);
}

/// INV-26: a body without a recognisable end gets an error, and the connection ends.
#[actix::test]
async fn a_malformed_chunk_ends_the_connection() {
    let served = serve().await;
    for chunks in ["x\r\n", "-1\r\n{}\r\n", "2\r\n{}XX", "1\r\n7\r\nzz\r\n"] {
        let path = invocations("echo");
        let mut stream = connect(&served).await;
        say(
            &mut stream,
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
        )
        .await;
        let refusal = read_one(&mut stream).await.expect("a refusal");
        assert_eq!(refusal.error(), (400, "InvalidRequestContentException"));
        assert!(refusal.message().contains("chunk"), "{}", refusal.message());
        assert_eq!(refusal.header("connection"), Some("close"), "{chunks}");
        ended(&mut stream).await;
    }
}

/// An unread body is not taken for a request.
#[actix::test]
async fn an_unwanted_body_is_discarded() {
    let served = serve().await;
    let mut stream = connect(&served).await;
    for _ in 0..3 {
        let inner = post("echo", "Event", "7");
        let length = inner.len();
        say(
            &mut stream,
            format!("GET /2015-03-31/functions/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{inner}"),
        )
        .await;
        assert_eq!(read_one(&mut stream).await.unwrap().status, 200);
    }
    let stats = served.get("/_redrive/stats").await.json();
    assert_eq!(stats["AsyncEventsReceived"], 0);
}

/// INV-01: a client that sends `Expect: 100-continue` gets a response at once, for every operation.
#[actix::test]
async fn a_wanted_body_gets_100_continue() {
    let served = serve().await;
    let put = |length: usize| {
        format!(
            "PUT /2017-10-31/functions/echo/concurrency HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut stream = connect(&served).await;
    say(&mut stream, put(204_800)).await;
    let refusal = read_one(&mut stream).await.unwrap();
    assert_eq!(refusal.error(), (413, "RequestEntityTooLargeException"));
    assert_eq!(refusal.header("connection"), Some("close"));
    ended(&mut stream).await;

    let mut stream = connect(&served).await;
    let body = br#"{"ReservedConcurrentExecutions": 5}"#;
    for _ in 0..2 {
        say(&mut stream, put(body.len())).await;
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        say(&mut stream, body).await;
        assert_eq!(read_one(&mut stream).await.unwrap().status, 200);
    }
}

/// A stop does not wait for ever, and the waiting client gets an error.
#[actix::test]
async fn a_call_that_outlasts_a_stop_gets_an_error() {
    let served = serve_with(
        builder().function(
            Function::new("endless", |_: Event<Value>| async {
                std::future::pending::<()>().await;
                Ok::<_, String>(())
            })
            .timeout(Duration::from_secs(600)),
        ),
        |api| api.stop_max(Duration::from_secs(3)),
    )
    .await;
    let mut stream = connect(&served).await;
    say(&mut stream, post("endless", "RequestResponse", "7")).await;
    running(&served, "endless", 1).await;
    let (answer, ()) = tokio::join!(read_one(&mut stream), served.stop.stop(true));
    let answer = answer.expect("an answer");
    assert_eq!(answer.error(), (503, "ServiceUnavailableException"));
    assert!(answer.message().contains("3 s"), "{}", answer.message());
    assert_eq!(answer.header("connection"), Some("close"));
    running(&served, "endless", 0).await;
}

/// A stop closes idle connections, and does not begin requests behind a running one.
#[actix::test]
async fn after_a_stop_no_request_begins() {
    let served = serve().await;
    let mut fresh = connect(&served).await;
    let mut kept = connect(&served).await;
    say(&mut kept, post("echo", "RequestResponse", "7")).await;
    assert_eq!(read_one(&mut kept).await.unwrap().status, 200);
    let mut busy = connect(&served).await;
    let (first, behind) = (
        post("sleep", "RequestResponse", "500"),
        post("echo", "Event", "7"),
    );
    say(&mut busy, first + &behind).await;
    running(&served, "sleep", 1).await;
    let stop = tokio::time::timeout(LONG, served.stop.stop(true));
    let answer = read_one(&mut busy);
    let (stopped, answer) = tokio::join!(stop, answer);
    stopped.expect("it stops");
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.json()), (200, json!(500)));
    assert_eq!(answer.header("connection"), Some("close"));
    for stream in [&mut fresh, &mut kept, &mut busy] {
        ended(stream).await;
    }
    let stats = served.runtime.client().stats();
    assert_eq!(stats.events.accepted, 0);
}

/// A request must end where every reader sees it end, or a proxy in front and this server would see different requests.
#[actix::test]
async fn ambiguous_requests_are_refused() {
    let served = serve().await;
    let behind = "GET /_redrive/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let path = invocations("echo");
    let post = |headers: &str, body: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}")
    };
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    let length = |more: &str| post(&format!("Content-Length: 1\r\n{more}"), "7");
    let mut requests = vec![
        "GET / HTTP/1.1\nHost: localhost\n\n".to_owned(),
        "GET / HTTP/1.1\nHost: localhost\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: localhost\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: localhost\r\n\n".to_owned(),
        "\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /\tHTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
    ];
    requests.extend([
        length("X-A: b\nX-C: d\r\n"),
        length("X-A: b\rX-C: d\r\n"),
        length("X-A: b\r\r\n"),
        length("X-A: b\0c\r\n"),
        length("X-A: b\x0bc\r\n"),
        length("X-A : b\r\n"),
        length("X A: b\r\n"),
        length(" X-A: b\r\n"),
        length("X-A: b\r\n folded\r\n"),
        length("X-A: b\r\n\tfolded\r\n"),
        length(": b\r\n"),
        length("X-A\r\n"),
        length("Transfer-Encoding : chunked\r\n"),
        length("Transfer-Encoding:\x0bchunked\r\n"),
        length("Content-Length: 1\r\n"),
        length("Upgrade: websocket\r\nConnection: Upgrade\r\n"),
        post(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        post("Content-Length: 1,1\r\n", "7"),
        post("Content-Length: 0x1\r\n", "7"),
        post("Content-Length: 1 1\r\n", "7"),
        post("Content-Length:\r\n", "7"),
        chunked("1\n7\r\n0\r\n\r\n"),
        chunked("1 \r\n7\r\n0\r\n\r\n"),
        chunked("1;x\n7\r\n0\r\n\r\n"),
        chunked("1;x\0\r\n7\r\n0\r\n\r\n"),
        chunked("1\r\n7\n0\r\n\r\n"),
        chunked("1\r\n7\r\n0\n\n"),
        chunked("1\r\n7\r\n0\r\n\n"),
        chunked("1\r\n7\r\n0\r\nX-A: b\n\n"),
        chunked("1\r\n7\r\n0\r\nX-A: b\n\r\n"),
        chunked("1\r\n7\r\n0\r\nX-A\r\n\r\n"),
        chunked("1\r\n7\r\n0\r\nX-A : b\r\n\r\n"),
        chunked("1\r\n7\r\n0\r\nX-A: b\r\n folded\r\n\r\n"),
        chunked("0x1\r\n7\r\n0\r\n\r\n"),
        chunked("+1\r\n7\r\n0\r\n\r\n"),
    ]);
    for request in requests {
        let mut stream = connect(&served).await;
        say(&mut stream, request.clone() + behind).await;
        let refusal = read_one(&mut stream).await.expect("a refusal");
        let error = refusal.error();
        assert_eq!(
            error,
            (400, "InvalidRequestContentException"),
            "{request:?}"
        );
        assert_eq!(refusal.header("connection"), Some("close"), "{request:?}");
        ended(&mut stream).await;
    }
    let stats = served.runtime.client().stats();
    assert_eq!((stats.events.accepted, stats.invocations), (0, 0));
}

/// An idle client keeps no other client out: before its first request, after one, or in the middle of a body.
#[actix::test]
async fn idle_clients_are_evicted_for_new_ones() {
    let body = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n7".to_owned();
    let whole = post("echo", "RequestResponse", "7");
    for said in ["", "GET / HT", &whole, &body, &(whole.clone() + "POST")] {
        let served = serve_with(builder(), |api| api.connections_max(4)).await;
        let mut idle = Vec::new();
        for _ in 0..20 {
            let mut stream = connect(&served).await;
            say(&mut stream, said).await;
            idle.push(stream);
        }
        let mut good = connect(&served).await;
        say(&mut good, post("echo", "RequestResponse", "8")).await;
        let answer = tokio::time::timeout(LONG, read_one(&mut good)).await;
        assert_eq!(answer.unwrap().unwrap().json(), json!(8), "{said}");
    }
}

/// A running request is never evicted.
#[actix::test]
async fn a_running_call_is_never_evicted() {
    let served = serve_with(builder(), |api| api.connections_max(4)).await;
    let mut calling = connect(&served).await;
    say(&mut calling, post("sleep", "RequestResponse", "2500")).await;
    running(&served, "sleep", 1).await;
    let mut others = Vec::new();
    for _ in 0..50 {
        others.push(connect(&served).await);
    }
    assert_eq!(read_one(&mut calling).await.unwrap().json(), json!(2500));
}

/// All buffered bytes have one bound. The client that has made no progress for the longest time is evicted first.
#[actix::test]
async fn bytes_buffered_for_clients_are_bounded() {
    const SIZE: usize = 5 << 20;
    let big = Function::new("big", |_: Event<Value>| async {
        Ok::<_, String>("x".repeat(SIZE))
    });
    // A debug build on a busy machine needs long for 5 MiB; that is not to count as blocked.
    let builder = builder().function(big).blocked_after(LONG);
    let served = serve_with(builder, |api| api.buffered_max(4 * SIZE)).await;
    let half = format!("\"{}", "x".repeat(SIZE));
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        invocations("echo"),
        SIZE + 2
    );
    let mut steady = connect(&served).await;
    say(&mut steady, post("big", "RequestResponse", "7")).await;
    let mut whole = vec![0; SIZE / 2];
    steady.read_exact(&mut whole).await.unwrap();
    let mut some = vec![0; 64 << 10];
    let mut stalled = Vec::new();
    for number in 0..24 {
        let mut stream = connect(&served).await;
        match number % 2 {
            0 => say(&mut stream, post("big", "RequestResponse", "7")).await,
            // It may be ended while it sends.
            _ => drop(stream.write_all((head.clone() + &half).as_bytes()).await),
        }
        stalled.push(stream);
        let read = tokio::time::timeout(LONG, steady.read(&mut some)).await;
        whole.extend_from_slice(&some[..read.unwrap().unwrap()]);
    }
    while whole.len() < SIZE {
        let read = tokio::time::timeout(LONG, steady.read(&mut some)).await;
        let read = read.unwrap().unwrap();
        assert_ne!(read, 0, "the steady client gets its whole response");
        whole.extend_from_slice(&some[..read]);
    }
    let answer = served.invoke("big", "RequestResponse", b"7").await;
    assert_eq!(answer.body.len(), SIZE + 2);
    // No more connections without progress remain than the bound has room for.
    let mut whole = 0;
    for stream in stalled.iter_mut().step_by(2) {
        whole += usize::from(stream.read_exact(&mut vec![0; SIZE]).await.is_ok());
    }
    assert!(whole <= 4, "{whole} of 12 answers were held");
}

/// A client beyond the bound waits until a connection ends. It takes no descriptor from the rest of the process.
#[actix::test]
async fn clients_beyond_the_bound_wait_for_a_connection() {
    let served = serve_with(builder(), |api| api.connections_max(1)).await;
    // One a thread is the least.
    let threads = std::thread::available_parallelism().unwrap().get();
    let mut held = Vec::new();
    for _ in 0..threads {
        let mut stream = connect(&served).await;
        say(&mut stream, post("echo", "RequestResponse", "7")).await;
        assert_eq!(read_one(&mut stream).await.unwrap().status, 200);
        held.push(stream);
    }
    let mut waiting = connect(&served).await;
    say(&mut waiting, post("echo", "Event", "8")).await;
    // Those that are served go on being served; the other is not yet.
    for stream in &mut held {
        for _ in 0..20 {
            say(stream, post("echo", "RequestResponse", "7")).await;
            assert_eq!(read_one(stream).await.unwrap().status, 200);
        }
    }
    let received = served.runtime.client().stats().events.accepted;
    assert_eq!(received, 0);
    held.pop();
    let answer = tokio::time::timeout(LONG, read_one(&mut waiting)).await;
    assert_eq!(answer.unwrap().unwrap().status, 202);
}
