//! AWS Lambda's HTTP API over a handful of functions, for AWS's SDKs and command lines.
//!
//! ```text
//! $ cargo run --example lambda_api --features http,disk -- --port 9000 --retry-delays 100,200
//! listening on http://127.0.0.1:9000
//! $ aws lambda invoke --endpoint-url http://127.0.0.1:9000 --function-name echo --payload '"hello"' out.json
//! ```
//!
//! Functions: `echo` returns its payload; `fail` fails with the `message` in it; `flaky` fails the first `failures` attempts;
//! `panic` panics with the `message`; `sleep` takes `milliseconds`; `big` returns `bytes`; `log` logs `lines`; `chain` invokes
//! itself until it is stopped.
//!
//! `--help` lists the flags. The file of `--auth` names whose signatures are accepted and what they may do:
//! `{"credentials":[{"access_key_id":"…","secret_access_key":"…","principal":"arn:aws:iam::000000000000:user/ada","policies":[…]}]}`

use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use redrive::http::LambdaApi;
use redrive::http::sigv4::{Credential, Principal, StaticCredentials};
use redrive::policy::Policies;
use redrive::{Event, Function, Logs, RetryPolicy, Runtime};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing_subscriber::prelude::*;

#[derive(Serialize, Deserialize)]
struct Message {
    message: String,
}

#[derive(Serialize, Deserialize)]
struct Flaky {
    failures: u32,
}

#[derive(Serialize, Deserialize)]
struct Sleep {
    milliseconds: u64,
}

#[derive(Serialize, Deserialize)]
struct Big {
    bytes: usize,
}

#[derive(Serialize, Deserialize)]
struct Log {
    lines: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    credentials: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    principal: String,
    policies: Vec<Value>,
}

fn credentials(file: &str) -> Result<StaticCredentials, Box<dyn Error>> {
    let auth: Auth = serde_json::from_slice(&std::fs::read(file)?)?;
    let mut all = StaticCredentials::new();
    for key in auth.credentials {
        let mut policies = Policies::new();
        for document in key.policies {
            policies = policies.identity(document.to_string().parse()?);
        }
        let principal = Principal::new(key.principal);
        let mut credential = Credential::new(&key.secret_access_key, principal).policies(policies);
        if let Some(token) = key.session_token {
            credential = credential.session_token(token);
        }
        all = all.key(key.access_key_id, credential);
    }
    Ok(all)
}

async fn echo(event: Event<Value>) -> Result<Value, String> {
    Ok(event.payload().clone())
}

async fn fail(event: Event<Message>) -> Result<(), String> {
    Err(event.message.clone())
}

async fn flaky(event: Event<Flaky>) -> Result<Value, String> {
    match event.context().attempt() {
        attempt if attempt <= event.failures => Err(format!("attempt {attempt} fails")),
        attempt => Ok(serde_json::json!({ "attempt": attempt })),
    }
}

async fn panics(event: Event<Message>) -> Result<(), String> {
    panic!("{}", event.message)
}

async fn sleep(event: Event<Sleep>) -> Result<(), String> {
    tokio::time::sleep(Duration::from_millis(event.milliseconds)).await;
    Ok(())
}

/// Two bytes of each are the quotes.
async fn big(event: Event<Big>) -> Result<String, String> {
    Ok("x".repeat(event.bytes.saturating_sub(2)))
}

async fn log(event: Event<Log>) -> Result<(), String> {
    for line in 1..=event.lines {
        tracing::info!("line {line}");
    }
    Ok(())
}

async fn chain(event: Event<Value>) -> Result<u8, String> {
    let client = event.context().client();
    let next = client.invoke("chain", event.payload().clone()).await;
    next.map_err(|error| error.to_string())?;
    Ok(event.context().hops())
}

/// Name, value and meaning of each flag.
const FLAGS: [(&str, &str, &str); 9] = [
    ("port", "P", "where to listen on 127.0.0.1 (9000)"),
    (
        "retry-delays",
        "MS,MS",
        "when failed events are retried (60000,120000)",
    ),
    ("max-age", "MS", "how old an event may grow (21600000)"),
    (
        "concurrency",
        "N",
        "how many events of a function run at once (10)",
    ),
    ("timeout", "MS", "how long an attempt may take (3000)"),
    ("data", "FOLDER", "keep events there, across restarts"),
    (
        "cert",
        "FILE",
        "serve TLS with this chain of certificates, in PEM",
    ),
    ("key", "FILE", "and this key, in PEM"),
    (
        "auth",
        "FILE",
        "demand signatures by the credentials in this file",
    ),
];

fn help() -> String {
    let mut help = "AWS Lambda's API over a handful of functions.\n\n".to_owned();
    for (name, value, meaning) in FLAGS {
        let flag = format!("--{name} {value}");
        help.push_str(&format!("  {flag:22} {meaning}\n"));
    }
    help
}

/// `--name value` pairs.
fn flags() -> Result<HashMap<String, String>, String> {
    let mut flags = HashMap::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let name = word.strip_prefix("--");
        let known = name.filter(|name| FLAGS.iter().any(|(known, ..)| known == name));
        let name = known.ok_or_else(|| format!("{word} is no flag\n\n{}", help()))?;
        let value = words.next().ok_or(format!("--{name} has no value"))?;
        flags.insert(name.to_owned(), value);
    }
    match (flags.get("cert"), flags.get("key")) {
        (Some(_), None) | (None, Some(_)) => Err("--cert and --key need each other".to_owned()),
        _ => Ok(flags),
    }
}

fn millis(text: &str) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::from_millis(text.parse()?))
}

#[actix::main]
async fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--help") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let flags = flags()?;
    let flag = |name: &str| flags.get(name).map(String::as_str);
    let logs = Logs::new();
    tracing_subscriber::registry().with(logs.layer()).init();

    let mut builder = Runtime::builder().logs(logs);
    if let Some(folder) = flag("data") {
        builder = builder.disk(folder);
    }
    let functions = [
        Function::new("echo", echo).version(1).alias("live", 1),
        Function::new("fail", fail),
        Function::new("flaky", flaky),
        Function::new("panic", panics),
        Function::new("sleep", sleep),
        Function::new("big", big),
        Function::new("log", log),
        Function::new("chain", chain),
    ];
    for mut function in functions {
        if let Some(delays) = flag("retry-delays") {
            let delays: Result<Vec<_>, _> = delays.split(',').map(millis).collect();
            function = function.retry(RetryPolicy::delays(delays?));
        }
        if let Some(age) = flag("max-age") {
            function = function.event_age_max(millis(age)?);
        }
        if let Some(timeout) = flag("timeout") {
            function = function.timeout(millis(timeout)?);
        }
        if let Some(concurrency) = flag("concurrency") {
            function = function.concurrency(concurrency.parse()?);
        }
        builder = builder.function(function);
    }
    let runtime = builder.start().await?;

    let mut api = LambdaApi::new(runtime.client());
    if let Some(file) = flag("auth") {
        api = api.credentials(credentials(file)?);
    }
    let address = ("127.0.0.1", flag("port").unwrap_or("9000").parse()?);
    let tls = flag("cert").zip(flag("key"));
    let server = match tls {
        Some((cert, key)) => api.bind_tls(address, &std::fs::read(cert)?, &std::fs::read(key)?)?,
        None => api.bind(address)?,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    println!("listening on {scheme}://{}", server.addresses()[0]);

    server.run_until_signal().await?;
    let report = runtime.shutdown(Duration::from_secs(30)).await;
    eprintln!("{} events did not finish", report.unfinished.len());
    Ok(())
}
