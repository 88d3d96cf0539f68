//! The API mounted or standalone, and the clients that it serves.

use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use redrive::http::{LambdaApi, ServerError};
use redrive::{Event, Function, Runtime};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{Served, builder, invocations, read, serve, serve_with};

/// The application's other paths are its own.
#[actix::test]
async fn the_api_can_be_mounted_under_any_scope() {
    let runtime = builder().start().await.unwrap();
    let api = LambdaApi::new(runtime.client());
    let app = move || {
        App::new()
            .service(web::scope("/deep/aws").configure(api.configure()))
            .configure(api.configure())
            .route(
                "/hello",
                web::get().to(|| async { HttpResponse::Ok().body("hello") }),
            )
    };
    let server = HttpServer::new(app).workers(1).bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let stop = server.handle();
    actix_rt::spawn(server);
    let served = Served {
        runtime,
        address,
        stop,
    };
    for prefix in ["", "/deep/aws"] {
        let path = format!("{prefix}{}", invocations("echo%3Alive"));
        let answer = served.request("POST", &path, &[], b"7").await;
        assert_eq!((answer.status, answer.json()), (200, json!(7)), "{prefix}");
        let answer = served
            .get(&format!("{prefix}/_redrive/functions/echo/stats"))
            .await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(served.get("/hello").await.body, b"hello");
}

/// Without authentication: this machine alone, under its own name, and no page from elsewhere.
#[actix::test]
async fn without_authentication_only_loopback_is_served() {
    let served = serve().await;
    let ask = async |headers: &str| {
        let head = format!("GET /2015-03-31/functions HTTP/1.1\r\n{headers}\r\n\r\n");
        served.raw(head.as_bytes()).await
    };
    assert_eq!(ask("Host: localhost:9000").await.status, 200);
    let refused = ask("Host: evil.example").await;
    assert_eq!(refused.error(), (403, "AccessDeniedException"));
    assert!(
        refused.message().contains("LambdaApi::credentials"),
        "{}",
        refused.message()
    );
    let refused = ask("Host: localhost\r\nOrigin: https://evil.example").await;
    assert_eq!(refused.error(), (403, "AccessDeniedException"));
    let live = served
        .raw(b"GET /_redrive/health/live HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        .await;
    assert_eq!(live.status, 403);

    let runtime = builder().start().await.unwrap();
    let api = LambdaApi::new(runtime.client());
    let error = api.bind("0.0.0.0:0").unwrap_err();
    assert!(matches!(error, ServerError::Unprotected { .. }));
    assert!(
        error.to_string().contains("LambdaApi::credentials"),
        "{error}"
    );
    let taken = api.bind(served.address).unwrap_err();
    assert!(matches!(taken, ServerError::Bind { .. }), "{taken}");
}

/// An application that listens on all addresses may have a proxy on this machine in front of it.
#[actix::test]
async fn without_authentication_an_open_listener_is_not_served() {
    let runtime = builder().start().await.unwrap();
    let api = LambdaApi::new(runtime.client());
    let server = HttpServer::new(move || App::new().configure(api.configure()));
    let server = server.workers(1).bind("0.0.0.0:0").unwrap();
    let port = server.addrs()[0].port();
    let server = server.run();
    let stop = server.handle();
    actix_rt::spawn(server);
    let served = Served {
        runtime,
        address: ([127, 0, 0, 1], port).into(),
        stop,
    };
    let refused = served.invoke("echo", "RequestResponse", b"7").await;
    assert_eq!(refused.error(), (403, "AccessDeniedException"));
    assert!(
        refused.message().contains("0.0.0.0") && refused.message().contains("bind 127.0.0.1"),
        "{}",
        refused.message()
    );
}

/// Accepted requests get their responses before the server is gone.
#[actix::test]
async fn a_graceful_stop_finishes_running_requests() {
    let served = serve().await;
    let mut stream = served.connect().await;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n300",
        invocations("sleep")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let client = served.runtime.client();
    while client.function_stats("sleep").unwrap().calls.running == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let stopping = actix_rt::spawn(served.stop.stop(true));
    let answer = read(&mut stream).await.unwrap();
    assert_eq!((answer.status, answer.json()), (200, json!(300)));
    stopping.await.unwrap();
    assert!(
        tokio::net::TcpStream::connect(served.address)
            .await
            .is_err()
    );
}

/// The call of a client that hung up is cancelled.
#[actix::test]
async fn a_caller_that_hangs_up_ends_its_call() {
    let endless = Function::new("endless", |_: Event<Value>| async {
        std::future::pending::<()>().await;
        Ok::<_, String>(())
    });
    let endless = endless.timeout(Duration::from_secs(600));
    let served = serve_with(Runtime::builder().function(endless), |api| api).await;
    let client = served.runtime.client();
    let running = async |calls| {
        let wait = async {
            while client.function_stats("endless").unwrap().calls.running != calls {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
        waited.unwrap_or_else(|_| panic!("there are never {calls} calls"));
    };
    let mut stream = served.connect().await;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1",
        invocations("endless")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    running(1).await;
    drop(stream);
    running(0).await;
    let stats = client.function_stats("endless").unwrap();
    assert_eq!(stats.calls.cancelled, 1);
}

/// A connection serves one request after the other.
#[actix::test]
async fn a_connection_is_used_again() {
    let served = serve().await;
    let mut stream = served.connect().await;
    for number in 0..5 {
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n{number}",
            invocations("echo")
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(read(&mut stream).await.unwrap().json(), json!(number));
    }
}
