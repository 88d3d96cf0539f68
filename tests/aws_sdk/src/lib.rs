//! redrive's example `lambda_api` as a child process, and AWS's own client for it.
//!
//! The program's path is in the environment variable `REDRIVE_LAMBDA_API`. Each test starts a server with the flags that
//! it wants; it is killed when the test lets go of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::config::{BehaviorVersion, Config, Credentials, Region};
use serde_json::Value;

/// The region that the example says it is in.
pub const REGION: &str = "us-east-1";
/// The account that the example says it belongs to.
pub const ACCOUNT: &str = "000000000000";

/// The ARN of a function of the example.
pub fn arn(function: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}")
}

/// A running `lambda_api`.
#[derive(Debug)]
pub struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Starts it on a port of its own choice, and returns once it is ready.
    pub fn start(flags: &[&str]) -> Self {
        let program = std::env::var("REDRIVE_LAMBDA_API")
            .expect("REDRIVE_LAMBDA_API is the path of the example `lambda_api`: see run.sh");
        let mut process = Command::new(program)
            .args(["--port", "0"])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let output = process.stdout.take().expect("its output is a pipe");
        let mut line = String::new();
        BufReader::new(output)
            .read_line(&mut line)
            .expect("its output can be read");
        let url = line.trim_end().strip_prefix("listening on ");
        let url = url.expect("it says where it listens").to_owned();
        Self { process, url }
    }

    /// AWS's client, with any key.
    pub fn client(&self) -> Client {
        self.client_of("AKIAIOSFODNN7EXAMPLE", "secret", None)
    }

    /// AWS's client, without the SDK's own retries (PAR-02).
    pub fn client_of(&self, access_key: &str, secret_key: &str, token: Option<&str>) -> Client {
        let token = token.map(str::to_owned);
        let credentials = Credentials::new(access_key, secret_key, token, None, "the test");
        let timeouts = TimeoutConfig::builder().operation_timeout(Duration::from_secs(60));
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(&self.url)
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.build())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        Client::from_conf(config)
    }

    /// What became of an event, as soon as it is over.
    pub fn event(&self, request_id: &str) -> Value {
        self.get(&format!("events/{request_id}?wait=20"))
    }

    /// A response of the admin API.
    pub fn get(&self, path: &str) -> Value {
        let address = self.url.strip_prefix("http://").expect("plain HTTP");
        let mut connection = TcpStream::connect(address).expect("the server listens");
        let request = format!(
            "GET /_redrive/{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        );
        connection
            .write_all(request.as_bytes())
            .expect("it reads what it is asked");
        let mut answer = String::new();
        connection
            .read_to_string(&mut answer)
            .expect("it answers in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        serde_json::from_str(body).expect("the body is JSON")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
