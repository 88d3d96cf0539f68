//! A web app that returns 202 with the request id and does the work in the background.
//!
//! Run it with `cargo run --example actix_web`; it sends itself a few requests and ends.
//! With `cargo run --example actix_web -- --serve` it stays up until Ctrl-C or SIGTERM, then finishes requests and events.
//!
//! Output:
//! ```text
//! POST /uploads: HTTP/1.0 202 Accepted
//! GET /uploads/{id}: HTTP/1.0 200 OK {"result":"small-cat.jpg","state":"succeeded"}
//! ```

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, Responder, web};
use redrive::{Client, Event, Function, InvokeError, RequestId, Runtime, Status};
use serde::{Deserialize, Serialize};
use serde_json::json;

type AnyError = Box<dyn std::error::Error>;

#[derive(Serialize, Deserialize)]
struct Upload {
    key: String,
}

async fn thumbnail(upload: Event<Upload>) -> Result<String, String> {
    Ok(format!("small-{}", upload.key))
}

async fn accept(client: web::Data<Client>, upload: web::Json<Upload>) -> impl Responder {
    match client.invoke("thumbnail", upload.into_inner()).await {
        Ok(receipt) => HttpResponse::Accepted().json(receipt),
        Err(full @ InvokeError::MailboxFull { retry_after, .. }) => HttpResponse::TooManyRequests()
            .insert_header(("Retry-After", retry_after.as_secs().max(1)))
            .body(full.to_string()),
        Err(refused) => HttpResponse::ServiceUnavailable().body(refused.to_string()),
    }
}

async fn status(client: web::Data<Client>, id: web::Path<RequestId>) -> impl Responder {
    HttpResponse::Ok().json(match client.status(*id).await {
        Some(Status::Succeeded { result, .. }) => json!({ "state": "succeeded", "result": result }),
        Some(Status::Dead(letter)) => json!({ "state": "dead", "reason": letter.condition }),
        Some(_) => json!({ "state": "pending" }),
        None => return HttpResponse::NotFound().finish(),
    })
}

#[actix_web::main]
async fn main() -> Result<(), AnyError> {
    let thumbnail = Function::new("thumbnail", thumbnail);
    let runtime = Runtime::builder().function(thumbnail).start().await?;
    let client = web::Data::new(runtime.client());
    let data = client.clone();
    let app = move || {
        let uploads = web::resource("/uploads").post(accept);
        let upload = web::resource("/uploads/{id}").get(status);
        App::new().app_data(data.clone()).service((uploads, upload))
    };
    let server = HttpServer::new(app).workers(1).disable_signals();
    let server = server.bind(("127.0.0.1", 0))?;
    let (address, server) = (server.addrs()[0], server.run());
    let handle = server.handle();
    let grace = Duration::from_secs(30);
    let report = if std::env::args().any(|argument| argument == "--serve") {
        println!("listening on http://{address}/uploads");
        runtime.serve(server, || handle.stop(true), grace).await?
    } else {
        actix_web::rt::spawn(server);
        visit(address, &client).await?;
        runtime.shutdown(grace).await
    };
    for event in report.unfinished {
        eprintln!(
            "event {} of {} did not finish",
            event.request_id, event.function
        );
    }
    Ok(())
}

async fn visit(app: SocketAddr, client: &Client) -> Result<(), AnyError> {
    let (status, body) = http(app, "POST /uploads", r#"{"key":"cat.jpg"}"#).await?;
    println!("POST /uploads: {status}");
    let receipt: serde_json::Value = serde_json::from_str(&body)?;
    let id = receipt["request_id"].as_str().ok_or("no request id")?;
    client.wait(id.parse()?).await;
    let (status, body) = http(app, &format!("GET /uploads/{id}"), "").await?;
    println!("GET /uploads/{{id}}: {status} {body}");
    Ok(())
}

/// Sends one request from a thread for blocking work; returns status and body.
async fn http(app: SocketAddr, line: &str, body: &str) -> Result<(String, String), AnyError> {
    let (kind, length) = ("Content-Type: application/json", body.len());
    let head = format!("{line} HTTP/1.0\r\n{kind}\r\nContent-Length: {length}");
    let request = format!("{head}\r\n\r\n{body}");
    let answer = web::block(move || {
        let mut stream = TcpStream::connect(app)?;
        stream.write_all(request.as_bytes())?;
        std::io::read_to_string(stream)
    });
    let answer = answer.await??;
    let status = answer.lines().next().unwrap_or_default();
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    Ok((status.to_owned(), body.to_owned()))
}
