//! The journal of the child, line by line, and the jobs of its functions.

use std::fmt;
use std::str::FromStr;

use redrive::RequestId;
use serde::{Deserialize, Serialize};

/// The origin of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// A job of the load.
    Job(u64),
    /// The redrive of this letter.
    Letter(RequestId),
}

/// The planned outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plan {
    Succeed,
    FailOnce,
    FailForGood,
}

/// The payload of an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    pub origin: Origin,
    pub plan: Plan,
    pub attempts_max: u32,
    /// How long an attempt takes.
    pub millis: u64,
    pub fill: String,
}

impl Job {
    /// Distinguishes a job from similar and from damaged ones.
    pub fn digest(&self) -> u32 {
        crc32fast::hash(&serde_json::to_vec(self).unwrap())
    }

    /// The message of its failures.
    pub fn complaint(&self, attempt: u32) -> String {
        format!("{} fails on attempt {attempt}", self.origin)
    }
}

/// An invocation that is about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    pub origin: Origin,
    pub plan: Plan,
    pub attempts_max: u32,
    /// Without it, it goes with the process.
    pub stored: bool,
    pub key: Option<u32>,
    /// Jobs with the same number are accepted together or not at all.
    pub batch: Option<u64>,
    pub digest: u32,
}

/// How a letter names the reason of its event's death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    RetriesExhausted,
    ProcessCrash,
    Other,
}

/// One attempt in a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It failed, and the message is the job's.
    Failed,
    /// The process died of it.
    Crashed,
    /// Something else.
    Strange,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub id: RequestId,
    pub origin: Origin,
    pub digest: u32,
    pub reason: Reason,
    pub attempt_count: u32,
    pub history: Vec<(u32, Told)>,
    pub redriven_from: Option<RequestId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The process has started and will open the folder. Pending events may run before the next line.
    Born,
    /// The runtime has started, with so many events.
    Opened {
        pending: u64,
    },
    /// The letters that it has then: between these two, each of them.
    LettersBegin,
    Listed(Letter),
    LettersEnd,
    /// Written before the event is sent.
    Intent(Intent),
    /// Written after its receipt, or after the result of a redrive.
    Receipt {
        origin: Origin,
        id: RequestId,
        duplicate: bool,
    },
    /// It was not accepted.
    Refused(Origin),
    /// The letter was not in the queue when it was to be redriven.
    Missing(RequestId),
    /// Written when an attempt begins.
    Start {
        id: RequestId,
        origin: Origin,
        attempt: u32,
        digest: u32,
    },
    /// Written before the attempt ends.
    End {
        id: RequestId,
        attempt: u32,
        well: bool,
    },
    /// Written after the store's settlement of the success.
    Succeeded(RequestId),
    /// Written after the store's settlement of the letter.
    Buried(Letter),
    /// Nothing is pending any more: the ledger.
    Drained {
        accepted: u64,
        succeeded: u64,
        dead: u64,
        cancelled: u64,
        pending: u64,
    },
    /// The runtime has shut down in good order.
    Closed,
    /// The child was killed. The parent writes this line.
    Killed,
}

// --- as text

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(number) => write!(f, "job:{number}"),
            Self::Letter(id) => write!(f, "letter:{id}"),
        }
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("job", number)) => Ok(Self::Job(number.parse().map_err(|_| text)?)),
            Some(("letter", id)) => Ok(Self::Letter(id.parse().map_err(|_| text)?)),
            _ => Err(text.to_owned()),
        }
    }
}

/// A value as its name.
macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal),*) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),* })
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(text.to_owned()),
                }
            }
        }
    };
}

words!(Plan: Succeed = "succeed", FailOnce = "fail-once", FailForGood = "fail-for-good");
words!(Reason: RetriesExhausted = "exhausted", ProcessCrash = "process-crash", Other = "other");
words!(Told: Failed = "failed", Crashed = "crashed", Strange = "strange");

/// `-` for none.
struct Maybe<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

impl<T: FromStr> FromStr for Maybe<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text {
            "-" => Ok(Self(None)),
            text => text.parse().map(|value| Self(Some(value))),
        }
    }
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            origin,
            digest,
            reason,
            attempt_count,
            history,
            redriven_from,
        } = self;
        let from = Maybe(*redriven_from);
        write!(f, "{id} {origin} {digest} {reason} {attempt_count} {from}")?;
        history
            .iter()
            .try_for_each(|(number, told)| write!(f, " {number} {told}"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Born => write!(f, "born"),
            Self::Opened { pending } => write!(f, "opened {pending}"),
            Self::LettersBegin => write!(f, "letters"),
            Self::Listed(letter) => write!(f, "listed {letter}"),
            Self::LettersEnd => write!(f, "listed-all"),
            Self::Intent(intent) => {
                let (key, batch) = (Maybe(intent.key), Maybe(intent.batch));
                let Intent {
                    origin,
                    plan,
                    attempts_max,
                    stored,
                    digest,
                    ..
                } = intent;
                write!(
                    f,
                    "intent {origin} {plan} {attempts_max} {stored} {key} {batch} {digest}"
                )
            }
            Self::Receipt {
                origin,
                id,
                duplicate,
            } => write!(f, "receipt {origin} {id} {duplicate}"),
            Self::Refused(origin) => write!(f, "refused {origin}"),
            Self::Missing(letter) => write!(f, "missing {letter}"),
            Self::Start {
                id,
                origin,
                attempt,
                digest,
            } => write!(f, "start {id} {origin} {attempt} {digest}"),
            Self::End { id, attempt, well } => write!(f, "end {id} {attempt} {well}"),
            Self::Succeeded(id) => write!(f, "succeeded {id}"),
            Self::Buried(letter) => write!(f, "buried {letter}"),
            Self::Drained {
                accepted,
                succeeded,
                dead,
                cancelled,
                pending,
            } => write!(
                f,
                "drained {accepted} {succeeded} {dead} {cancelled} {pending}"
            ),
            Self::Closed => write!(f, "closed"),
            Self::Killed => write!(f, "killed"),
        }
    }
}

/// The words of a line, one after the other.
struct Words<'a>(std::str::SplitAsciiWhitespace<'a>);

impl Words<'_> {
    fn next<T: FromStr>(&mut self) -> Result<T, String> {
        let word = self.0.next().ok_or("the line is too short")?;
        word.parse()
            .map_err(|_| format!("`{word}` is not what should stand there"))
    }

    fn maybe<T: FromStr>(&mut self) -> Result<Option<T>, String> {
        self.next::<Maybe<T>>().map(|Maybe(value)| value)
    }

    fn letter(&mut self) -> Result<Letter, String> {
        let mut letter = Letter {
            id: self.next()?,
            origin: self.next()?,
            digest: self.next()?,
            reason: self.next()?,
            attempt_count: self.next()?,
            redriven_from: self.maybe()?,
            history: Vec::new(),
        };
        while self.0.clone().next().is_some() {
            letter.history.push((self.next()?, self.next()?));
        }
        Ok(letter)
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = Words(text.split_ascii_whitespace());
        let what: String = words.next()?;
        Ok(match &*what {
            "born" => Self::Born,
            "opened" => Self::Opened {
                pending: words.next()?,
            },
            "letters" => Self::LettersBegin,
            "listed" => Self::Listed(words.letter()?),
            "listed-all" => Self::LettersEnd,
            "intent" => Self::Intent(Intent {
                origin: words.next()?,
                plan: words.next()?,
                attempts_max: words.next()?,
                stored: words.next()?,
                key: words.maybe()?,
                batch: words.maybe()?,
                digest: words.next()?,
            }),
            "receipt" => Self::Receipt {
                origin: words.next()?,
                id: words.next()?,
                duplicate: words.next()?,
            },
            "refused" => Self::Refused(words.next()?),
            "missing" => Self::Missing(words.next()?),
            "start" => Self::Start {
                id: words.next()?,
                origin: words.next()?,
                attempt: words.next()?,
                digest: words.next()?,
            },
            "end" => Self::End {
                id: words.next()?,
                attempt: words.next()?,
                well: words.next()?,
            },
            "succeeded" => Self::Succeeded(words.next()?),
            "buried" => Self::Buried(words.letter()?),
            "drained" => Self::Drained {
                accepted: words.next()?,
                succeeded: words.next()?,
                dead: words.next()?,
                cancelled: words.next()?,
                pending: words.next()?,
            },
            "closed" => Self::Closed,
            "killed" => Self::Killed,
            _ => return Err(format!("`{what}` says nothing")),
        })
    }
}
