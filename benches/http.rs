//! The cost of AWS's API over HTTP: `Event` invocations with 1 KiB, by the standalone server and mounted on actix-web's
//! `HttpServer`, beside a bare actix-web handler that returns 202.
//!
//! `cargo bench --features http --bench http`. Each server is a separate process; the clients are this one, and the
//! requests are made, and signed, before the clock starts.

mod parts;

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use actix_web::{App, HttpResponse, HttpServer, web};
use hmac_sha256::{HMAC, Hash};
use parts::{in_system, median, part, process};
use redrive::http::LambdaApi;
use redrive::http::sigv4::{Credential, Principal, StaticCredentials};
use redrive::policy::Policies;
use redrive::{Event, Function, Payload, Runtime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 32;
const REQUESTS: usize = 100_000;
const ROUNDS: usize = 9;
/// Bytes of each body.
const BODY: usize = 1_024;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const PATH: &str = "/2015-03-31/functions/sink/invocations";

fn main() {
    match part().as_deref() {
        Some("bare") => in_system(bare()),
        Some("mounted") => in_system(mounted()),
        Some("open") => in_system(standalone(false)),
        Some("signed") => in_system(standalone(true)),
        Some(other) => panic!("no part {other}"),
        None => compare(),
    }
}

// --- the servers

async fn bare() {
    let answer = |body: web::Bytes| async move {
        std::hint::black_box(body.len());
        HttpResponse::Accepted().finish()
    };
    let app = move || App::new().route(PATH, web::post().to(answer));
    let server = HttpServer::new(app).bind("127.0.0.1:0").expect("a port");
    println!("{}", server.addrs()[0]);
    server.run().await.expect("it serves");
}

/// Starts a runtime with one function.
async fn runtime() -> Runtime {
    let sink = Function::new("sink", |event: Event<Payload>| async move {
        std::hint::black_box(event.payload());
        Ok::<_, String>(())
    });
    let sink = sink
        .mailbox_events_max(10_000_000)
        .retain(0, std::time::Duration::ZERO, 0);
    let builder = Runtime::builder().function(sink);
    builder.start().await.expect("it starts")
}

async fn mounted() {
    let runtime = runtime().await;
    let api = LambdaApi::new(runtime.client());
    let app = move || App::new().configure(api.configure());
    let server = HttpServer::new(app).bind("127.0.0.1:0").expect("a port");
    println!("{}", server.addrs()[0]);
    server.run().await.expect("it serves");
}

async fn standalone(signed: bool) {
    let runtime = runtime().await;
    let mut api = LambdaApi::new(runtime.client());
    if signed {
        let all = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*"}}"#;
        let policies = Policies::new().identity(all.parse().expect("a policy"));
        let ada = Principal::new("arn:aws:iam::000000000000:user/ada");
        let credential = Credential::new(SECRET, ada).policies(policies);
        api = api.credentials(StaticCredentials::new().key("AKIDEXAMPLE", credential));
    }
    let server = api.bind("127.0.0.1:0").expect("a port");
    println!("{}", server.addresses()[0]);
    server.run().await.expect("it serves");
}

struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(part: &str) -> Self {
        let mut child = process(part);
        let mut address = String::new();
        let output = child.stdout.take().expect("it prints");
        BufReader::new(output)
            .read_line(&mut address)
            .expect("its address");
        Self {
            child,
            address: address.trim().to_owned(),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// --- the requests

fn requests(address: &str, round: usize, signed: bool) -> Vec<Vec<u8>> {
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let date = date.replace(['-', ':'], "");
    let one = |number: usize| {
        let head = format!("{{\"number\":\"{round}-{number}\",\"x\":\"");
        let body = format!("{head:<BODY$}\"}}", BODY = BODY - 2);
        let signature = match signed {
            true => authorization(address, &date, &body),
            false => String::new(),
        };
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: {address}\r\nX-Amz-Invocation-Type: Event\r\nContent-Length: {}\r\n{signature}\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    (0..REQUESTS).map(one).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn authorization(host: &str, date: &str, body: &str) -> String {
    let day = &date[..8];
    let scope = format!("{day}/us-east-1/lambda/aws4_request");
    let signed = "host;x-amz-date;x-amz-invocation-type";
    let canonical = format!(
        "POST\n{PATH}\n\nhost:{host}\nx-amz-date:{date}\nx-amz-invocation-type:Event\n\n{signed}\n{}",
        hex(&Hash::hash(body.as_bytes()))
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hex(&Hash::hash(canonical.as_bytes()))
    );
    let mut key = HMAC::mac(day.as_bytes(), format!("AWS4{SECRET}").as_bytes());
    for part in ["us-east-1", "lambda", "aws4_request"] {
        key = HMAC::mac(part.as_bytes(), key);
    }
    let signature = hex(&HMAC::mac(text.as_bytes(), key));
    format!(
        "X-Amz-Date: {date}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={signed}, Signature={signature}\r\n"
    )
}

// --- the clients

/// Sends all requests over a few connections, one after the other on each. Returns the requests per second and the
/// median and the 99th percentile of their times in microseconds.
async fn run(address: &str, requests: Vec<Vec<u8>>) -> [f64; 3] {
    let requests = Arc::new(requests);
    let started = Instant::now();
    let clients = (0..CONNECTIONS).map(|first| {
        let (requests, address) = (requests.clone(), address.to_owned());
        actix_rt::spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.set_nodelay(true).expect("no delay");
            let mut answer = vec![0; 4_096];
            let mut times = Vec::new();
            for request in requests.iter().skip(first).step_by(CONNECTIONS) {
                let sent = Instant::now();
                stream.write_all(request).await.expect("it is sent");
                let mut read = 0;
                while !answer[..read].ends_with(b"\r\n\r\n") {
                    let more = stream.read(&mut answer[read..]).await.expect("an answer");
                    assert!(more > 0, "the connection ended");
                    read += more;
                }
                assert!(
                    answer.starts_with(b"HTTP/1.1 202"),
                    "{}",
                    String::from_utf8_lossy(&answer[..read])
                );
                times.push(sent.elapsed().as_secs_f64() * 1e6);
            }
            times
        })
    });
    let mut times = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        times.extend(client.await.expect("it ends"));
    }
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    [rate, times[times.len() / 2], times[times.len() * 99 / 100]]
}

fn compare() {
    let parts = ["bare", "mounted", "open", "signed"];
    let names = [
        "bare actix-web handler",
        "`Event`, on actix-web's `HttpServer`",
        "`Event`, standalone server",
        "`Event`, standalone server, Signature Version 4",
    ];
    let servers = parts.map(Served::start);
    let mut figures = [const { Vec::<[f64; 3]>::new() }; 4];
    for round in 0..=ROUNDS {
        for ((part, server), all) in parts.iter().zip(&servers).zip(&mut figures) {
            let requests = requests(&server.address, round, *part == "signed");
            let figures = in_system(run(&server.address, requests));
            // The first one warms up.
            if round > 0 {
                all.push(figures);
            }
        }
    }
    println!("| contender | requests/s | p50 | p99 | of bare |\n|---|---:|---:|---:|---:|");
    let of =
        |index: usize, figure: usize| median(figures[index].iter().map(|it| it[figure]).collect());
    for (index, name) in names.into_iter().enumerate() {
        let ratios = figures[index]
            .iter()
            .zip(&figures[0])
            .map(|(one, bare)| one[0] / bare[0]);
        println!(
            "| {name} | {:.0} | {:.0} µs | {:.0} µs | {:.2} |",
            of(index, 0),
            of(index, 1),
            of(index, 2),
            median(ratios.collect())
        );
    }
}
