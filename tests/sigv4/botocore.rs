//! Requests that botocore signs are accepted, once; changed requests are refused.
//!
//! 2,000 requests and 20,000 changed ones, or as many as `REDRIVE_SIGV4_REQUESTS` says and ten times as many changed ones.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use redrive::http::sigv4::SignatureError;

use crate::fixtures::{Setting, verify};
use crate::mutation;
use crate::sent_request::Sent;

const MUTATIONS: usize = 10;

/// botocore, signing.
struct Signer {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Signer {
    fn start(requests: usize, seed: u64) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let python = format!("{root}/target/python/bin/python");
        let mut process = Command::new(&python)
            .arg(format!("{root}/tests/sigv4/sign.py"))
            .args([requests.to_string(), seed.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{python}: {error}; run `bash tests/python.sh`"));
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn line(&mut self) -> Option<String> {
        self.lines.next().map(Result::unwrap)
    }

    fn setting(&mut self) -> Setting {
        let line = self.line();
        let line =
            line.expect("the environment of the tests is broken; run `bash tests/python.sh`");
        Setting::read(&line)
    }

    fn finish(mut self) {
        assert!(self.process.wait().unwrap().success());
    }
}

fn requests() -> usize {
    let full = std::env::var("REDRIVE_SIGV4_REQUESTS").ok();
    full.map_or(2_000, |count| count.parse().unwrap())
}

/// SIG-01..10.
#[test]
fn botocore_requests_are_accepted_once_and_changed_ones_never() {
    let count = requests();
    let mut signer = Signer::start(count, 4);
    let setting = signer.setting();
    let verifier = setting.verifier().refuse_replays();
    // To one that accepts replays no changed request is one.
    let other = setting.verifier();
    let mut chance = SmallRng::seed_from_u64(4);
    let (mut accepted, mut refused) = (0, 0);
    let mut refusals: BTreeMap<(&str, &str), usize> = BTreeMap::new();

    while let Some(line) = signer.line() {
        let sent = Sent::read(&line);
        if let Err(error) = verify(&verifier, &sent) {
            panic!("refused: {error}\n{line}");
        }
        assert!(
            matches!(verify(&verifier, &sent), Err(SignatureError::Replayed)),
            "accepted twice: {line}"
        );
        accepted += 1;
        for _ in 0..MUTATIONS {
            let (kind, changed) = mutation::of(&sent, &mut chance);
            match verify(&other, &changed) {
                Ok(_) => panic!("accepted with another {kind}:\n{changed:?}\n{sent:?}"),
                Err(SignatureError::Replayed | SignatureError::TooManyRequests) => {
                    panic!("refused for the wrong reason, with another {kind}:\n{changed:?}")
                }
                Err(error) => *refusals.entry((kind, error.code())).or_default() += 1,
            }
            refused += 1;
        }
    }
    signer.finish();
    println!("{accepted} accepted, {refused} changed ones refused");
    for ((kind, code), count) in &refusals {
        println!("{count:8} with another {kind}: {code}");
    }
    assert_eq!((accepted, refused), (count, MUTATIONS * count));
    for kind in mutation::KINDS {
        let seen = refusals.keys().any(|(seen, _)| seen == kind);
        assert!(seen || count < 1_000, "never tried: another {kind}");
    }
}
