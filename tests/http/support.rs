//! A server with functions, and a client that sends any bytes.

use std::net::SocketAddr;
use std::time::Duration;

use redrive::http::LambdaApi;
use redrive::{Builder, Event, Function, RetryPolicy, Runtime};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub(crate) struct Served {
    pub(crate) runtime: Runtime,
    pub(crate) address: SocketAddr,
    pub(crate) stop: actix_web::dev::ServerHandle,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Status and error code; the code is where AWS's clients look for it (ERR-01), and the response has an id (INV-19).
    pub(crate) fn error(&self) -> (u16, &str) {
        let id = self
            .header("x-amzn-requestid")
            .expect("every answer has an id");
        id.parse::<uuid::Uuid>().unwrap();
        (
            self.status,
            self.header("x-amzn-errortype").unwrap_or("none"),
        )
    }

    /// The message of a refusal, under the key that its shape has (ERR-02).
    pub(crate) fn message(&self) -> String {
        let body = self.json();
        let message = body.get("message").or(body.get("Message"));
        message.unwrap().as_str().unwrap().to_owned()
    }
}

async fn echo(event: Event<Value>) -> Result<Value, String> {
    Ok(event.payload().clone())
}

async fn fail(event: Event<Value>) -> Result<(), String> {
    Err(event["message"]
        .as_str()
        .unwrap_or("as scripted")
        .to_owned())
}

async fn sleep(event: Event<u64>) -> Result<u64, String> {
    tokio::time::sleep(Duration::from_millis(*event)).await;
    Ok(*event)
}

/// `echo` (with version 1 and alias `live`), `fail` and `sleep`.
pub(crate) fn builder() -> Builder {
    let quick = RetryPolicy::delays([Duration::from_millis(20), Duration::from_millis(40)]);
    Runtime::builder()
        .function(Function::new("echo", echo).version(1).alias("live", 1))
        .function(Function::new("fail", fail).retry(quick))
        .function(Function::new("sleep", sleep))
}

pub(crate) async fn serve() -> Served {
    serve_with(builder(), |api| api).await
}

pub(crate) async fn serve_with(
    builder: Builder,
    configure: impl FnOnce(LambdaApi) -> LambdaApi,
) -> Served {
    let runtime = builder.start().await.unwrap();
    // Longer than a test waits for what must not wait for the end of a stop.
    let api = LambdaApi::new(runtime.client()).stop_max(Duration::from_secs(30));
    let api = configure(api);
    let server = api.bind("127.0.0.1:0").unwrap();
    let (address, stop) = (server.addresses()[0], server.handle());
    actix_rt::spawn(server.run());
    Served {
        runtime,
        address,
        stop,
    }
}

impl Served {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes as they are, and reads the response.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        read(&mut stream).await.expect("an answer")
    }

    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.raw(&bytes).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"").await
    }

    /// Invokes a function, as it stands in the path.
    pub(crate) async fn invoke(&self, function: &str, kind: &str, body: &[u8]) -> Answer {
        let headers = [("X-Amz-Invocation-Type", kind)];
        self.request("POST", &invocations(function), &headers, body)
            .await
    }

    /// Waits until an event is over.
    pub(crate) async fn wait(&self, event: &str) -> Value {
        let status = self.get(&format!("/_redrive/events/{event}?wait=30")).await;
        assert_eq!(status.status, 200);
        status.json()
    }
}

pub(crate) fn invocations(function: &str) -> String {
    format!("/2015-03-31/functions/{function}/invocations")
}

/// Reads one response. Returns `None` if the connection ends first.
pub(crate) async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Answer> {
    read_one(&mut BufReader::new(stream)).await
}

/// As `read`, but leaves the bytes behind the response.
pub(crate) async fn read_one(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head).await.ok()? == 0 {
            return None;
        }
    }
    let text = String::from_utf8(head).unwrap();
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, length)| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Answer {
        status,
        headers,
        body,
    })
}
