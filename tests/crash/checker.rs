//! Checks the child's journal against the promises, for kills at any moment.
//!
//! The store keeps its calls in order. So every call before an event was sent is durable once that event's receipt is here: it
//! is *final*. Only later calls may be unknown to the next process. This bounds the work that may run again after a kill: the
//! events in flight, and those of one unfinished group commit.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use redrive::RequestId;

use crate::journal::{Intent, Letter, Line, Origin, Plan, Reason, Told};

/// How often the process may die of an event, as the child's runtime has it.
pub const DEATHS_MAX: u32 = 3;

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// An accepted event never ended.
    Lost,
    /// An event is pending though nothing keeps it.
    Stuck,
    /// The ledger doesn't add up.
    Unbalanced,
    /// Some of a batch are there, and some are not.
    Torn,
    /// It ran and was never sent.
    NeverSent,
    /// It ran, and had been refused.
    RanThoughRefused,
    /// One that lived in memory came back.
    Revived,
    /// One was sent, two are there.
    AcceptedTwice,
    /// Two events have one key.
    KeyTwice,
    /// Its payload is another one.
    WrongPayload,
    /// More attempts than its policy allows.
    BeyondPolicy,
    /// An attempt that doesn't follow from those before.
    OutOfTurn,
    /// It ran though it was running or over, and the process had not died.
    RanTwice,
    /// It ran again though its end was final.
    RanAgain,
    /// A letter has gone.
    LetterLost,
    /// A letter is there twice, or its event died twice.
    LetterTwice,
    /// The event succeeded, and is a letter too.
    BothEnds,
    /// A letter without its history, or with another one.
    LetterWrong,
    /// The letter has gone, and its event isn't there.
    RedriveLost,
    /// The letter is there, and its event too; or it has two.
    RedriveDoubled,
    /// The line makes no sense.
    Garbled,
}

/// The broken promise, and the event.
#[derive(Debug)]
pub struct Fault {
    pub broken: Broken,
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.broken, self.text)
    }
}

type Checked<T = ()> = Result<T, Fault>;

fn broken<T>(broken: Broken, text: impl fmt::Display) -> Checked<T> {
    let text = text.to_string();
    Err(Fault { broken, text })
}

fn ensure(holds: bool, or: Broken, text: impl fmt::Display) -> Checked {
    if holds { Ok(()) } else { broken(or, text) }
}

/// The outcome of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    None,
    Accepted,
    Duplicate,
    Refused,
}

/// An event that was meant to be.
struct Meant {
    intent: Intent,
    answer: Answer,
    event: Option<RequestId>,
    /// When it was sent (last): the line, the life, and the kills before.
    at: u64,
    life: u32,
    kills: u32,
}

/// The last attempt of an event that began.
#[derive(Clone, Copy)]
struct Run {
    life: u32,
    attempt: u32,
    /// Whether it ended, and if so, whether well.
    ended: Option<bool>,
}

/// Where an event's letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// There is none.
    None,
    /// It was seen, and may be unknown to the next process.
    Seen,
    /// It is there until it is redriven.
    Final,
    /// It was redriven.
    Gone,
}

/// An event that is there.
struct Known {
    /// Unknown if its receipt named it as a duplicate of an earlier event.
    origin: Option<Origin>,
    run: Option<Run>,
    /// The last attempt that failed.
    failed: u32,
    /// Attempts below this one are final. One that is over has none left.
    floor: u32,
    ended_well: bool,
    letter: Place,
    /// The life in which it ended.
    over_in: Option<u32>,
}

const OVER: u32 = u32::MAX;

#[derive(Default)]
pub struct Checker {
    line: u64,
    life: u32,
    kills: u32,
    meant: HashMap<Origin, Meant>,
    events: HashMap<RequestId, Known>,
    keys: HashMap<u32, RequestId>,
    /// Events that aren't over for good.
    active: HashSet<RequestId>,
    /// The store's calls in this life: the journal line, and the attempt that the event continues from.
    told: Vec<(u64, RequestId, u32)>,
    /// Calls before this line are final.
    final_line: u64,
    /// Letters that have to be in the next list.
    due: Vec<RequestId>,
    listed: BTreeSet<RequestId>,
    listing: bool,
    drained: bool,
    closed: bool,
    pub accepted: u64,
    pub runs: u64,
    pub again: u64,
    pub letters: u64,
    pub redriven: u64,
    pub most_pending: u64,
}

impl Checker {
    /// Takes the next line in.
    pub fn feed(&mut self, line: &Line) -> Checked {
        self.line += 1;
        match line {
            Line::Born => {
                self.life += 1;
                // A call of a closed store.
                self.told.clear();
                Ok(())
            }
            Line::Opened { pending } => self.opened(*pending),
            Line::LettersBegin => {
                self.listing = true;
                self.listed.clear();
                Ok(())
            }
            Line::Listed(letter) => self.listed(letter),
            Line::LettersEnd => self.listed_all(),
            Line::Intent(intent) => self.intent(*intent),
            &Line::Receipt {
                origin,
                id,
                duplicate,
            } => self.receipt(origin, id, duplicate),
            Line::Refused(origin) => self.refused(*origin),
            Line::Missing(letter) => broken(
                Broken::RedriveLost,
                format!("letter {letter} was listed and could not be redriven"),
            ),
            &Line::Start {
                id,
                origin,
                attempt,
                digest,
            } => self.start(id, origin, attempt, digest),
            &Line::End { id, attempt, well } => self.end(id, attempt, well),
            Line::Succeeded(id) => self.succeeded(*id),
            Line::Buried(letter) => self.buried(letter),
            &Line::Drained {
                accepted,
                succeeded,
                dead,
                cancelled,
                pending,
            } => {
                let ended = succeeded + dead + cancelled;
                ensure(
                    accepted == ended + pending,
                    Broken::Unbalanced,
                    format!("{accepted} accepted, {ended} ended, {pending} pending"),
                )?;
                self.drained = true;
                self.nothing_pends(pending)
            }
            Line::Closed => {
                self.closed = true;
                self.final_line = self.line;
                self.settle_accounts();
                Ok(())
            }
            Line::Killed => {
                self.kills += 1;
                self.settle_accounts();
                Ok(())
            }
        }
    }

    // --- a process begins and ends

    fn opened(&mut self, pending: u64) -> Checked {
        self.most_pending = self.most_pending.max(pending);
        let letters = self.events.iter();
        let letters = letters.filter(|(id, known)| {
            known.letter == Place::Final && !self.meant.contains_key(&Origin::Letter(**id))
        });
        self.due = letters.map(|(id, _)| *id).collect();
        if self.drained && self.closed {
            self.nothing_pends(pending)?;
        }
        let sure = self.active.iter().filter(|id| self.must_pend(**id));
        let sure = sure.count() as u64;
        ensure(
            pending >= sure,
            Broken::Lost,
            format!("{pending} events are pending, and of {sure} it is certain that they must be"),
        )
    }

    /// Is it certain that the event is there and not over?
    fn must_pend(&self, id: RequestId) -> bool {
        let known = &self.events[&id];
        let Some(meant) = known.origin.and_then(|origin| self.meant.get(&origin)) else {
            return false;
        };
        meant.answer == Answer::Accepted
            && meant.intent.stored
            && !known.ended_well
            && known.failed < meant.intent.attempts_max
            && known.letter == Place::None
            && self.kills - meant.kills < DEATHS_MAX
    }

    fn nothing_pends(&self, pending: u64) -> Checked {
        let waiting = self.active.iter().filter(|id| self.must_pend(**id));
        let waiting: Vec<_> = waiting.map(RequestId::to_string).collect();
        ensure(
            pending == 0,
            Broken::Stuck,
            format!(
                "{pending} events don't end; among them, as far as is known: {}",
                waiting.join(", ")
            ),
        )
    }

    /// The process is gone. Calls that are not final may be unknown to the next one.
    fn settle_accounts(&mut self) {
        for (line, id, floor) in std::mem::take(&mut self.told) {
            if line >= self.final_line {
                continue;
            }
            let Some(known) = self.events.get_mut(&id) else {
                continue;
            };
            known.floor = known.floor.max(floor);
            if floor == OVER {
                self.active.remove(&id);
                if known.letter == Place::Seen {
                    known.letter = Place::Final;
                }
            }
        }
    }

    // --- admission

    fn intent(&mut self, intent: Intent) -> Checked {
        let (at, life, kills) = (self.line, self.life, self.kills);
        if let Origin::Letter(letter) = intent.origin {
            ensure(
                self.listed.contains(&letter),
                Broken::Garbled,
                format!("letter {letter} is redriven and was not listed"),
            )?;
            // Killed before the receipt, or refused at the end of a process: it is tried again.
            if let Some(meant) = self.meant.get_mut(&intent.origin) {
                (meant.at, meant.life) = (at, life);
                if meant.answer == Answer::Refused {
                    meant.answer = Answer::None;
                }
                return ensure(
                    meant.intent == intent,
                    Broken::Garbled,
                    format!("{} is redriven in another way", intent.origin),
                );
            }
        }
        let meant = Meant {
            intent,
            answer: Answer::None,
            event: None,
            at,
            life,
            kills,
        };
        let before = self.meant.insert(intent.origin, meant);
        ensure(
            before.is_none(),
            Broken::Garbled,
            format!("{} is sent twice", intent.origin),
        )
    }

    fn receipt(&mut self, origin: Origin, id: RequestId, duplicate: bool) -> Checked {
        let Some(meant) = self.meant.get_mut(&origin) else {
            return broken(Broken::Garbled, format!("a receipt for {origin}"));
        };
        ensure(
            meant.answer == Answer::None,
            match origin {
                Origin::Job(_) => Broken::AcceptedTwice,
                Origin::Letter(_) => Broken::RedriveDoubled,
            },
            format!("{origin} is accepted a second time, as {id}"),
        )?;
        if meant.intent.stored {
            self.final_line = self.final_line.max(meant.at);
        }
        self.accepted += 1;
        if !duplicate {
            meant.answer = Answer::Accepted;
            if let Origin::Letter(letter) = origin {
                self.redriven += 1;
                if let Some(known) = self.events.get_mut(&letter) {
                    known.letter = Place::Gone;
                }
            }
            return self.identify(id, origin).map(drop);
        }
        meant.answer = Answer::Duplicate;
        let Some(key) = meant.intent.key else {
            return broken(
                Broken::KeyTwice,
                format!("{origin} has no key, and its receipt is that of {id}"),
            );
        };
        let ran = meant.event.is_some();
        ensure(
            !ran,
            Broken::KeyTwice,
            format!("{origin} is a duplicate, and has run"),
        )?;
        self.hold_key(key, id)?;
        if !self.events.contains_key(&id) {
            self.know(id, None);
        }
        Ok(())
    }

    fn hold_key(&mut self, key: u32, id: RequestId) -> Checked {
        let first = *self.keys.entry(key).or_insert(id);
        ensure(
            first == id,
            Broken::KeyTwice,
            format!("key {key} is held by {first} and {id}"),
        )
    }

    fn refused(&mut self, origin: Origin) -> Checked {
        let Some(meant) = self.meant.get_mut(&origin) else {
            return broken(Broken::Garbled, format!("a refusal of {origin}"));
        };
        meant.answer = Answer::Refused;
        let ran = meant.event.is_some();
        ensure(
            !ran,
            Broken::RanThoughRefused,
            format!("{origin} ran before it was refused"),
        )
    }

    fn know(&mut self, id: RequestId, origin: Option<Origin>) -> &mut Known {
        self.active.insert(id);
        self.events.entry(id).or_insert(Known {
            origin,
            run: None,
            failed: 0,
            floor: 0,
            ended_well: false,
            letter: Place::None,
            over_in: None,
        })
    }

    /// The event `id` comes from `origin`.
    fn identify(&mut self, id: RequestId, origin: Origin) -> Checked<(&mut Known, Intent)> {
        let Some(meant) = self.meant.get_mut(&origin) else {
            return broken(
                Broken::NeverSent,
                format!("{id} comes from {origin}, which was never sent"),
            );
        };
        let intent = meant.intent;
        let unwanted = match meant.answer {
            Answer::Refused => Some(Broken::RanThoughRefused),
            Answer::Duplicate => Some(Broken::KeyTwice),
            _ => None,
        };
        if let Some(unwanted) = unwanted {
            let answer = meant.answer;
            return broken(
                unwanted,
                format!("{id} comes from {origin}, whose answer was {answer:?}"),
            );
        }
        let first = *meant.event.get_or_insert(id);
        let doubled = match origin {
            Origin::Letter(_) => Broken::RedriveDoubled,
            Origin::Job(_) if intent.key.is_some() => Broken::KeyTwice,
            Origin::Job(_) => Broken::AcceptedTwice,
        };
        ensure(
            first == id,
            doubled,
            format!("{origin} is there as {first} and as {id}"),
        )?;
        if let Some(key) = intent.key {
            self.hold_key(key, id)?;
        }
        if !self.events.contains_key(&id) {
            self.know(id, Some(origin));
        }
        let known = self.events.get_mut(&id).expect("it was just made known");
        let of = *known.origin.get_or_insert(origin);
        ensure(
            of == origin,
            Broken::AcceptedTwice,
            format!("{of} and {origin} are both {id}"),
        )?;
        Ok((known, intent))
    }

    // --- attempts

    fn start(&mut self, id: RequestId, origin: Origin, attempt: u32, digest: u32) -> Checked {
        let (line, life) = (self.line, self.life);
        let sent_in = self.meant.get(&origin).map(|meant| meant.life);
        self.runs += 1;
        let (known, intent) = self.identify(id, origin)?;
        let what = format!("attempt {attempt} of {id}, {origin}");
        ensure(digest == intent.digest, Broken::WrongPayload, &what)?;
        let within = (1..=intent.attempts_max).contains(&attempt);
        ensure(within, Broken::BeyondPolicy, &what)?;
        let lives = intent.stored || sent_in == Some(life);
        ensure(lives, Broken::Revived, &what)?;
        ensure(known.over_in != Some(life), Broken::RanTwice, &what)?;
        ensure(
            attempt >= known.floor,
            Broken::RanAgain,
            format!("{what}: it is final up to attempt {}", known.floor),
        )?;
        let again = known.ended_well;
        match known.run {
            Some(run) if run.life == life => ensure(
                run.ended == Some(false) && attempt == run.attempt + 1,
                Broken::RanTwice,
                format!("{what}, after attempt {} in the same process", run.attempt),
            )?,
            _ => ensure(
                attempt <= known.failed + 1,
                Broken::OutOfTurn,
                format!("{what}, and {} have failed", known.failed),
            )?,
        }
        known.run = Some(Run {
            life,
            attempt,
            ended: None,
        });
        // The second of two failures was judged, so the store has the first.
        if attempt >= 3 {
            self.told.push((line, id, attempt - 1));
        }
        self.again += u64::from(again);
        Ok(())
    }

    fn end(&mut self, id: RequestId, attempt: u32, well: bool) -> Checked {
        let life = self.life;
        let known = self.events.get_mut(&id);
        let run = known.and_then(|known| Some((known.run?, known)));
        let open = run
            .filter(|(run, _)| run.life == life && run.attempt == attempt && run.ended.is_none());
        let Some((mut run, known)) = open else {
            return broken(
                Broken::Garbled,
                format!("attempt {attempt} of {id} ends and did not begin"),
            );
        };
        run.ended = Some(well);
        known.run = Some(run);
        known.ended_well |= well;
        if !well {
            known.failed = known.failed.max(attempt);
        }
        Ok(())
    }

    fn succeeded(&mut self, id: RequestId) -> Checked {
        let (line, life) = (self.line, self.life);
        let known = self.events.get_mut(&id);
        let ran = |known: &&mut Known| {
            known
                .run
                .is_some_and(|run| run.life == life && run.ended == Some(true))
        };
        let Some(known) = known.filter(ran) else {
            return broken(
                Broken::Garbled,
                format!("{id} succeeded and no attempt of it did"),
            );
        };
        ensure(
            known.letter == Place::None || known.letter == Place::Seen,
            Broken::BothEnds,
            format!("{id} succeeded, and its letter is {:?}", known.letter),
        )?;
        known.over_in = Some(life);
        self.told.push((line, id, OVER));
        Ok(())
    }

    // --- letters

    fn buried(&mut self, letter: &Letter) -> Checked {
        let (line, life) = (self.line, self.life);
        let id = letter.id;
        self.letters += 1;
        let known = self.letter(letter)?;
        ensure(
            known.over_in != Some(life) && known.floor != OVER,
            Broken::LetterTwice,
            format!("{id} dies once more"),
        )?;
        // It may be redriven before its line is here.
        if known.letter != Place::Gone {
            known.letter = Place::Seen;
        }
        known.over_in = Some(life);
        self.told.push((line, id, OVER));
        Ok(())
    }

    fn listed(&mut self, letter: &Letter) -> Checked {
        let (line, id) = (self.line, letter.id);
        ensure(self.listing, Broken::Garbled, "a letter outside of a list")?;
        ensure(
            self.listed.insert(id),
            Broken::LetterTwice,
            format!("letter {id} is listed twice"),
        )?;
        let successor = self.meant.get(&Origin::Letter(id));
        let successor = successor.and_then(|meant| meant.event);
        let known = self.letter(letter)?;
        ensure(
            successor.is_none() && known.letter != Place::Gone,
            Broken::RedriveDoubled,
            format!("letter {id} is there, and was redriven as {successor:?}"),
        )?;
        if known.letter != Place::Final {
            known.letter = Place::Seen;
            self.told.push((line, id, OVER));
        }
        Ok(())
    }

    fn listed_all(&mut self) -> Checked {
        self.listing = false;
        let missing = self.due.iter().find(|id| !self.listed.contains(id));
        if let Some(id) = missing {
            return broken(Broken::LetterLost, format!("letter {id} is not listed"));
        }
        // Killed while they were redriven, and no longer here: their events must be.
        for (origin, meant) in &self.meant {
            if let Origin::Letter(letter) = origin
                && meant.answer == Answer::None
                && !self.listed.contains(letter)
                && let Some(known) = self.events.get_mut(letter)
                && known.floor == OVER
            {
                known.letter = Place::Gone;
            }
        }
        Ok(())
    }

    /// Checks that the letter has the payload and the history of its event.
    fn letter(&mut self, letter: &Letter) -> Checked<&mut Known> {
        let kills = self.kills;
        let before = self.meant.get(&letter.origin).map(|meant| meant.kills);
        let (known, intent) = self.identify(letter.id, letter.origin)?;
        let what = format!("{letter}");
        ensure(letter.digest == intent.digest, Broken::WrongPayload, &what)?;
        ensure(
            !(known.ended_well && known.floor == OVER && known.letter == Place::None),
            Broken::BothEnds,
            format!("succeeded for good: {what}"),
        )?;
        let count = letter.attempt_count;
        let (expected, last) = match letter.reason {
            Reason::RetriesExhausted => {
                let doomed = intent.plan == Plan::FailForGood && count == intent.attempts_max;
                (doomed && known.failed >= count, Told::Failed)
            }
            Reason::ProcessCrash => {
                let deaths = before.map_or(0, |before| kills - before);
                let within = (1..=intent.attempts_max).contains(&count);
                let deadly = deaths >= DEATHS_MAX && within && known.failed + 1 >= count;
                (deadly, Told::Crashed)
            }
            Reason::Other => (false, Told::Strange),
        };
        ensure(
            expected && intent.stored,
            Broken::LetterWrong,
            format!("it should not have died: {what}"),
        )?;
        let history =
            (1..=count).map(|number| (number, if number < count { Told::Failed } else { last }));
        ensure(
            history.eq(letter.history.iter().copied()),
            Broken::LetterWrong,
            format!("its history is not whole: {what}"),
        )?;
        let from = match letter.origin {
            Origin::Letter(from) => Some(from),
            Origin::Job(_) => None,
        };
        ensure(
            letter.redriven_from == from,
            Broken::LetterWrong,
            format!("it was redriven from {from:?}: {what}"),
        )?;
        Ok(known)
    }

    // --- at the end

    /// Checks the end: a process in which all events ended was closed, opened again, and listed its contents.
    pub fn finish(&self) -> Checked {
        ensure(
            self.drained && self.closed,
            Broken::Garbled,
            "the last process did not come to its end",
        )?;
        for (origin, meant) in &self.meant {
            match meant.event {
                Some(id) => self.ended(*origin, meant, id)?,
                None if meant.answer == Answer::Accepted => {
                    return broken(Broken::Lost, format!("{origin} was accepted"));
                }
                None => {}
            }
        }
        for (key, id) in &self.keys {
            let ran = self.events[id].origin.is_some();
            ensure(
                ran,
                Broken::Lost,
                format!("{id}, which holds key {key}, never ran"),
            )?;
        }
        self.batches()
    }

    fn ended(&self, origin: Origin, meant: &Meant, id: RequestId) -> Checked {
        let known = &self.events[&id];
        let died_with_the_process = !meant.intent.stored && meant.life < self.life;
        let redriven = self.meant.get(&Origin::Letter(id));
        let redriven = redriven.is_some_and(|redriven| redriven.event.is_some());
        match known.letter {
            _ if redriven || self.listed.contains(&id) => Ok(()),
            Place::Gone => broken(
                Broken::RedriveLost,
                format!("letter {id} has gone, and no event came of it"),
            ),
            Place::Final | Place::Seen if !known.ended_well => {
                broken(Broken::LetterLost, format!("letter {id} of {origin}"))
            }
            _ => ensure(
                known.ended_well || died_with_the_process,
                Broken::Lost,
                format!("{id}, {origin}: {} attempts failed", known.failed),
            ),
        }
    }

    /// Each batch is there, or it isn't.
    fn batches(&self) -> Checked {
        let mut batches: HashMap<u64, (u32, u32)> = HashMap::new();
        for meant in self.meant.values() {
            if let Some(batch) = meant.intent.batch {
                let (there, all) = batches.entry(batch).or_default();
                *there += u32::from(meant.event.is_some());
                *all += 1;
            }
        }
        let torn = batches
            .iter()
            .find(|(_, (there, all))| (1..*all).contains(there));
        match torn {
            None => Ok(()),
            Some((batch, (there, all))) => broken(
                Broken::Torn,
                format!("{there} of the {all} events of batch {batch} are there"),
            ),
        }
    }
}
