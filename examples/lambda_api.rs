//! AWS Lambda's HTTP API over a handful of functions, for AWS's SDKs and command lines.
//!
//! ```text
//! $ cargo run --example lambda_api --features http,disk -- --port 9000 --retry-delays 100,200
//! listening on http://127.0.0.1:9000
//! $ aws lambda invoke --endpoint-url http://127.0.0.1:9000 --function-name echo --payload '"hello"' out.json
//! ```
//!
//! `--help` lists the functions with their payloads, the flags, and the format of the file for `--auth`.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redrive::http::LambdaApi;
use redrive::http::sigv4::{Credential, Principal, StaticCredentials, Verifier};
use redrive::policy::Policies;
use redrive::{Event, Function, Logs, RetryPolicy, Runtime, Stateful};
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

fn read(flag: &str, file: &str) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("--{flag} {file}: {error}"))
}

fn credentials(file: &str) -> Result<StaticCredentials, String> {
    let auth: Auth = serde_json::from_slice(&read("auth", file)?)
        .map_err(|error| format!("--auth {file}: {error}\n\n{AUTH}"))?;
    let (mut all, mut ids) = (StaticCredentials::new(), HashSet::new());
    for key in auth.credentials {
        let id = key.access_key_id.clone();
        let refuse = |why: &str| Err(format!("--auth {file}: the credentials of '{id}' {why}"));
        if key.access_key_id.is_empty() || key.secret_access_key.is_empty() {
            return refuse("need an access_key_id and a secret_access_key that aren't empty");
        }
        if key.session_token.as_deref() == Some("") {
            return refuse("have an empty session_token: leave it out if there is none");
        }
        if !key.principal.starts_with("arn:") {
            return refuse(
                "need the ARN of a principal, such as arn:aws:iam::000000000000:user/ada",
            );
        }
        if !ids.insert(key.access_key_id.clone()) {
            return refuse("are there twice");
        }
        let mut policies = Policies::new();
        for (number, document) in key.policies.iter().enumerate() {
            match document.to_string().parse() {
                Ok(policy) => policies = policies.identity(policy),
                Err(error) => return refuse(&format!("have a faulty policies[{number}]: {error}")),
            }
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

/// The context of an attempt, under AWS's names where AWS has one.
async fn context(event: Event<Value>) -> Result<Value, String> {
    let context = event.context();
    let mut arn = context.client().arn(context.function().as_str());
    if let Some(qualifier) = context.qualifier() {
        arn = format!("{arn}:{qualifier}");
    }
    let client = context.client_context().map(serde_json::from_str::<Value>);
    let client = client.transpose().map_err(|error| error.to_string())?;
    let millis = |time: SystemTime| time.duration_since(UNIX_EPOCH).map(|it| it.as_millis());
    let times = (millis(context.accepted_at()), millis(context.deadline()));
    let (Ok(accepted), Ok(deadline)) = times else {
        return Err("a time before 1970".to_owned());
    };
    Ok(serde_json::json!({
        "awsRequestId": context.request_id(),
        "functionName": context.function(),
        "functionVersion": context.version(),
        "invokedFunctionArn": arn,
        "clientContext": client,
        "traceHeader": context.trace_header(),
        "traceparent": context.traceparent(),
        "acceptedMs": accepted as u64,
        "deadlineMs": deadline as u64,
        "remainingMs": context.remaining().as_millis() as u64,
        "attempt": context.attempt(),
        "hops": context.hops(),
        "payload": event.payload(),
    }))
}

/// A state that is never there.
enum Never {}

impl Stateful for Never {
    type Payload = Value;
    type Output = ();
    type Error = String;

    async fn handle(&mut self, _: Event<Value>) -> Result<(), String> {
        match *self {}
    }
}

/// How long server and runtime may take together to stop: Kubernetes kills a container 30 s after it asked it to end.
const STOP_MAX: Duration = Duration::from_secs(20);

/// Name, value and meaning of each flag.
const FLAGS: [(&str, &str, &str); 10] = [
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
    (
        "replays",
        "refuse",
        "refuse signatures that were accepted before (accept)",
    ),
];

const FUNCTIONS: &str = r#"AWS Lambda's API over a handful of functions:

  echo        any JSON               returns it
  fail        {"message":"…"}        fails with it
  flaky       {"failures":2}         fails so many attempts, then returns
  panic       {"message":"…"}        panics with it
  sleep       {"milliseconds":100}   takes so long
  big         {"bytes":1000}         returns so many
  log         {"lines":3}            logs so many
  chain       any JSON               invokes itself until it is stopped
  context     any JSON               returns the context of its attempt, and its payload
  init-fails  any JSON               its workers can't start

Versions and aliases: `echo` has version 1, called `live`; `context` has versions 1, called `live`, and 2, and as `weighted`
either of them, each half of the time.

"#;

const AUTH: &str = r#"The file of --auth lists the accepted credentials and their policies:

  {"credentials": [{
    "access_key_id": "AKIDADA", "secret_access_key": "…", "principal": "arn:aws:iam::000000000000:user/ada",
    "policies": [{"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}]}]
  }]}

A session_token may be there too. An empty list of policies allows nothing; the actions under /_redrive/ are redrive:*.
"#;

fn help() -> String {
    let mut help = FUNCTIONS.to_owned();
    for (name, value, meaning) in FLAGS {
        let flag = format!("--{name} {value}");
        help.push_str(&format!("  {flag:22} {meaning}\n"));
    }
    help + "\n" + AUTH
}

/// `--name value` pairs.
fn flags() -> Result<HashMap<String, String>, String> {
    let mut flags = HashMap::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let name = word.strip_prefix("--");
        let known = name.filter(|name| FLAGS.iter().any(|(known, ..)| known == name));
        let name = known.ok_or_else(|| format!("{word} is not a flag\n\n{}", help()))?;
        let value = words.next().ok_or(format!("--{name} has no value"))?;
        flags.insert(name.to_owned(), value);
    }
    let flag = |name| flags.get(name).map(String::as_str);
    match (flag("cert"), flag("key")) {
        (Some(_), None) | (None, Some(_)) => {
            return Err("--cert and --key need each other".to_owned());
        }
        _ => {}
    }
    match (flag("replays"), flag("auth")) {
        (Some("refuse"), None) => Err("--replays refuse needs --auth".to_owned()),
        (None | Some("refuse" | "accept"), _) => Ok(flags),
        (Some(other), _) => Err(format!("--replays '{other}': refuse or accept")),
    }
}

fn number<T: FromStr<Err: Display>>(flag: &str, text: &str) -> Result<T, String> {
    let number = text.parse();
    number.map_err(|error| format!("--{flag} '{text}': {error}"))
}

fn millis(flag: &str, text: &str) -> Result<Duration, String> {
    number(flag, text).map(Duration::from_millis)
}

#[actix::main]
async fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--help" || word == "-h") {
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
        Function::new("context", context)
            .version(1)
            .version(2)
            .alias("live", 1)
            .weighted_alias("weighted", 1, 2, 0.5),
        Function::stateful("init-fails", || async {
            Err::<Never, _>("no connection to the database")
        }),
    ];
    for mut function in functions {
        if let Some(delays) = flag("retry-delays") {
            let delays = delays.split(',').map(|delay| millis("retry-delays", delay));
            let delays: Result<Vec<_>, _> = delays.collect();
            function = function.retry(RetryPolicy::delays(delays?));
        }
        if let Some(age) = flag("max-age") {
            function = function.event_age_max(millis("max-age", age)?);
        }
        if let Some(timeout) = flag("timeout") {
            function = function.timeout(millis("timeout", timeout)?);
        }
        if let Some(concurrency) = flag("concurrency") {
            function = function.concurrency(number("concurrency", concurrency)?);
        }
        builder = builder.function(function);
    }
    let runtime = builder.start().await?;

    let mut api = LambdaApi::new(runtime.client());
    if let Some(file) = flag("auth") {
        let verifier = Verifier::new(runtime.client().region(), credentials(file)?);
        api = api.verifier(match flag("replays") {
            Some("refuse") => verifier.refuse_replays(),
            _ => verifier,
        });
    }
    let address = ("127.0.0.1", number("port", flag("port").unwrap_or("9000"))?);
    let tls = flag("cert").zip(flag("key"));
    let server = match tls {
        Some((cert, key)) => api.bind_tls(address, &read("cert", cert)?, &read("key", key)?)?,
        None => api.bind(address)?,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    println!("listening on {scheme}://{}", server.addresses()[0]);

    let handle = server.handle();
    let stop = || {
        api.end_polls();
        handle.stop(true)
    };
    let report = runtime.serve(server.run(), stop, STOP_MAX).await?;
    eprintln!("{} events did not finish", report.unfinished.len());
    Ok(())
}
