//! The checker is worth something only if it notices: each test plants one fault in a journal that is right.

use redrive::RequestId;

use crate::checker::{Broken, Checker, Fault};
use crate::journal::Line;

/// Four lives: two are killed, one ends everything, one only looks. Event `a` succeeds; `b` fails once; `c` fails for good
/// and is redriven as `d`; `e` fails for good and stays; `f` has a key that is sent twice more; `g` and `h` are a batch
/// whose receipts the kill took; `i` is in memory and dies with its process; `j` succeeded just before a kill, and runs
/// again; `k` is a dead letter whose redrive is cut short once.
const JOURNAL: &str = "
    born
    opened 0
    letters
    listed-all
    intent job:1 succeed 3 true - - 11
    receipt job:1 <a> false
    start <a> job:1 1 11
    end <a> 1 true
    succeeded <a>
    intent job:2 fail-once 3 true - - 12
    receipt job:2 <b> false
    start <b> job:2 1 12
    end <b> 1 false
    intent job:3 fail-for-good 2 true - - 13
    receipt job:3 <c> false
    start <c> job:3 1 13
    end <c> 1 false
    start <c> job:3 2 13
    end <c> 2 false
    buried <c> job:3 13 exhausted 2 - 1 failed 2 failed
    intent job:11 fail-for-good 1 true - - 21
    receipt job:11 <k> false
    start <k> job:11 1 21
    end <k> 1 false
    buried <k> job:11 21 exhausted 1 - 1 failed
    intent job:4 succeed 3 true 7 - 14
    receipt job:4 <f> false
    intent job:9 succeed 3 false - - 19
    receipt job:9 <i> false
    start <i> job:9 1 19
    intent job:5 succeed 3 true - - 15
    intent job:6 succeed 3 true - 5 16
    intent job:7 succeed 3 true - 5 17
    killed

    born
    start <b> job:2 2 12
    opened 5
    letters
    listed <c> job:3 13 exhausted 2 - 1 failed 2 failed
    listed <k> job:11 21 exhausted 1 - 1 failed
    listed-all
    end <b> 2 true
    succeeded <b>
    start <f> job:4 1 14
    end <f> 1 true
    succeeded <f>
    start <g> job:6 1 16
    end <g> 1 true
    succeeded <g>
    start <h> job:7 1 17
    end <h> 1 true
    succeeded <h>
    intent letter:<c> succeed 2 true - - 23
    receipt letter:<c> <d> false
    intent job:8 succeed 3 true 7 - 18
    receipt job:8 <f> true
    intent job:10 fail-for-good 2 true - - 20
    receipt job:10 <e> false
    start <d> letter:<c> 1 23
    intent job:12 succeed 3 true - - 22
    receipt job:12 <j> false
    start <j> job:12 1 22
    end <j> 1 true
    succeeded <j>
    intent letter:<k> succeed 1 true - - 24
    killed

    born
    opened 3
    letters
    listed <k> job:11 21 exhausted 1 - 1 failed
    listed-all
    intent letter:<k> succeed 1 true - - 24
    receipt letter:<k> <l> false
    start <j> job:12 1 22
    end <j> 1 true
    succeeded <j>
    start <l> letter:<k> 1 24
    end <l> 1 true
    succeeded <l>
    start <d> letter:<c> 1 23
    end <d> 1 true
    succeeded <d>
    start <e> job:10 1 20
    end <e> 1 false
    start <e> job:10 2 20
    end <e> 2 false
    buried <e> job:10 20 exhausted 2 - 1 failed 2 failed
    intent job:13 succeed 3 true 7 - 25
    receipt job:13 <f> true
    drained 7 6 1 0 0
    closed

    born
    opened 0
    letters
    listed <e> job:10 20 exhausted 2 - 1 failed 2 failed
    listed-all
    drained 0 0 0 0 0
    closed
";

/// The id that a letter stands for.
fn id(letter: char) -> RequestId {
    uuid::Uuid::from_u128(u128::from(letter)).into()
}

/// The journal, with `<a>` and so on put in full.
fn lines(journal: &str) -> Vec<String> {
    let names = ('a'..='z').fold(journal.to_owned(), |text, letter| {
        text.replace(&format!("<{letter}>"), &id(letter).to_string())
    });
    let lines = names.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

fn check(journal: &str) -> Result<(), Fault> {
    let mut checker = Checker::default();
    for text in lines(journal) {
        let line: Line = text.parse().unwrap();
        assert_eq!(line.to_string(), text, "said as it was read");
        checker.feed(&line)?;
    }
    checker.finish()
}

/// Returns the checker's finding for a changed journal.
fn noticed(change: impl FnOnce(&mut Vec<String>)) -> Broken {
    let mut journal: Vec<_> = JOURNAL
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    let before = journal.clone();
    change(&mut journal);
    assert_ne!(journal, before, "the fault was not planted");
    check(&journal.join("\n"))
        .expect_err("the fault was not noticed")
        .broken
}

/// Where the line stands, the `nth` of those like it.
fn at(journal: &[String], line: &str, nth: usize) -> usize {
    let mut places = journal
        .iter()
        .enumerate()
        .filter(|(_, other)| *other == line);
    let place = places.nth(nth - 1);
    place.unwrap_or_else(|| panic!("`{line}` is not there")).0
}

/// Leaves out every line about the event from its `nth` start on, and says `pending` less by one then.
fn forget(journal: &mut Vec<String>, event: &str) {
    journal.retain(|line| {
        let mut words = line.split(' ');
        let (what, whom) = (words.next().unwrap(), words.next());
        !(matches!(what, "start" | "end" | "succeeded" | "buried" | "listed")
            && whom == Some(event))
    });
}

/// Puts lines before the `nth` one like `line`.
fn before(journal: &mut Vec<String>, line: &str, nth: usize, new: &[&str]) {
    let place = at(journal, line, nth);
    journal.splice(place..place, new.iter().map(|&line| line.to_owned()));
}

fn replace(journal: &mut [String], line: &str, new: &str) {
    let place = at(journal, line, 1);
    new.clone_into(&mut journal[place]);
}

#[test]
fn a_correct_journal_passes_the_checker() {
    check(JOURNAL).unwrap();
}

#[test]
fn an_event_that_was_dropped_is_noticed() {
    let broken = noticed(|journal| forget(journal, "<a>"));
    assert_eq!(broken, Broken::Lost);
}

/// The receipt was given before the event was on record: the next process has one event fewer.
#[test]
fn a_receipt_that_came_too_early_is_noticed_at_the_next_opening() {
    // Only `b` and `f` are certain: the others were in memory, have no receipt, or may be over.
    let broken = noticed(|journal| replace(journal, "opened 5", "opened 1"));
    assert_eq!(broken, Broken::Lost);
}

#[test]
fn an_event_that_is_stuck_is_noticed() {
    let broken = noticed(|journal| replace(journal, "drained 7 6 1 0 0", "drained 7 5 1 0 1"));
    assert_eq!(broken, Broken::Stuck);
}

#[test]
fn an_event_that_is_pending_again_after_everything_had_ended_is_noticed() {
    let broken = noticed(|journal| {
        let last = journal.len() - 6;
        assert_eq!(journal[last], "opened 0");
        "opened 1".clone_into(&mut journal[last]);
    });
    assert_eq!(broken, Broken::Stuck);
}

#[test]
fn a_ledger_that_does_not_balance_is_noticed() {
    let broken = noticed(|journal| replace(journal, "drained 7 6 1 0 0", "drained 7 5 1 0 0"));
    assert_eq!(broken, Broken::Unbalanced);
}

/// The receipts of `c`, `k`, and `f` came after the settlement of its success.
#[test]
fn a_success_that_was_forgotten_is_noticed() {
    let broken = noticed(|journal| {
        before(
            journal,
            "start <b> job:2 2 12",
            1,
            &["start <a> job:1 1 11"],
        )
    });
    assert_eq!(broken, Broken::RanAgain);
}

/// One kill excuses one more run, not one in each life.
#[test]
fn an_event_that_runs_again_and_again_is_noticed() {
    let broken = noticed(|journal| {
        journal.truncate(at(journal, "drained 7 6 1 0 0", 1));
        journal.extend(["killed", "born", "opened 0", "start <j> job:12 1 22"].map(str::to_owned));
    });
    assert_eq!(broken, Broken::RanAgain);
}

#[test]
fn an_event_that_runs_twice_in_one_process_is_noticed() {
    let broken = noticed(|journal| {
        before(
            journal,
            "intent job:2 fail-once 3 true - - 12",
            1,
            &["start <a> job:1 1 11"],
        );
    });
    assert_eq!(broken, Broken::RanTwice);
}

#[test]
fn a_dead_event_that_runs_again_is_noticed() {
    let broken = noticed(|journal| {
        before(
            journal,
            "start <b> job:2 2 12",
            1,
            &["start <c> job:3 2 13"],
        )
    });
    assert_eq!(broken, Broken::RanAgain);
}

#[test]
fn an_attempt_beyond_the_policy_is_noticed() {
    let broken = noticed(|journal| {
        before(
            journal,
            "buried <c> job:3 13 exhausted 2 - 1 failed 2 failed",
            1,
            &["start <c> job:3 3 13"],
        );
    });
    assert_eq!(broken, Broken::BeyondPolicy);
}

#[test]
fn an_attempt_that_was_skipped_is_noticed() {
    let broken =
        noticed(|journal| replace(journal, "start <b> job:2 2 12", "start <b> job:2 3 12"));
    assert_eq!(broken, Broken::OutOfTurn);
}

/// `job:10` is attempted the third time when the kill comes: the first failure is on record for long.
#[test]
fn a_failure_that_was_forgotten_is_noticed() {
    let journal = "
        born
        opened 0
        intent job:1 fail-for-good 4 true - - 1
        receipt job:1 <a> false
        start <a> job:1 1 1
        end <a> 1 false
        start <a> job:1 2 1
        end <a> 2 false
        start <a> job:1 3 1
        intent job:2 succeed 1 true - - 2
        receipt job:2 <b> false
        killed
        born
        opened 2
        start <a> job:1 ATTEMPT 1
    ";
    let check = |attempt| check(&journal.replace("ATTEMPT", attempt)).unwrap_err();
    assert_eq!(check("1").broken, Broken::RanAgain);
    // The only finding is that the journal ends there.
    assert_eq!(check("2").broken, Broken::Garbled);
}

#[test]
fn a_key_that_is_accepted_twice_is_noticed() {
    let broken =
        noticed(|journal| replace(journal, "receipt job:8 <f> true", "receipt job:8 <z> false"));
    assert_eq!(broken, Broken::KeyTwice);
}

#[test]
fn a_duplicate_that_runs_is_noticed() {
    let broken = noticed(|journal| before(journal, "killed", 2, &["start <z> job:8 1 18"]));
    assert_eq!(broken, Broken::KeyTwice);
}

#[test]
fn receipts_of_one_key_that_name_two_events_are_noticed() {
    let broken = noticed(|journal| {
        replace(
            journal,
            "receipt job:13 <f> true",
            "receipt job:13 <a> true",
        )
    });
    assert_eq!(broken, Broken::KeyTwice);
}

#[test]
fn a_dead_letter_that_is_lost_is_noticed_at_the_next_opening() {
    let broken = noticed(|journal| {
        let place = at(journal, "listed <k> job:11 21 exhausted 1 - 1 failed", 1);
        journal.remove(place);
    });
    assert_eq!(broken, Broken::LetterLost);
}

#[test]
fn a_dead_letter_that_is_lost_at_the_end_is_noticed() {
    let broken = noticed(|journal| {
        let letter = "listed <e> job:10 20 exhausted 2 - 1 failed 2 failed";
        let place = at(journal, letter, 1);
        journal.remove(place);
    });
    assert_eq!(broken, Broken::LetterLost);
}

#[test]
fn a_dead_letter_that_is_there_twice_is_noticed() {
    let letter = "listed <c> job:3 13 exhausted 2 - 1 failed 2 failed";
    let broken = noticed(|journal| before(journal, letter, 1, &[letter]));
    assert_eq!(broken, Broken::LetterTwice);
}

#[test]
fn an_event_that_dies_twice_is_noticed() {
    let letter = "buried <e> job:10 20 exhausted 2 - 1 failed 2 failed";
    let broken = noticed(|journal| before(journal, letter, 1, &[letter]));
    assert_eq!(broken, Broken::LetterTwice);
}

#[test]
fn a_letter_of_an_event_that_succeeded_is_noticed() {
    let letter = "listed <a> job:1 11 exhausted 3 - 1 failed 2 failed 3 failed";
    let broken = noticed(|journal| before(journal, "listed-all", 2, &[letter]));
    assert_eq!(broken, Broken::BothEnds);
}

#[test]
fn a_letter_without_its_whole_history_is_noticed() {
    let broken = noticed(|journal| {
        replace(
            journal,
            "listed <c> job:3 13 exhausted 2 - 1 failed 2 failed",
            "listed <c> job:3 13 exhausted 2 - 2 failed",
        );
    });
    assert_eq!(broken, Broken::LetterWrong);
}

#[test]
fn a_letter_with_the_history_of_another_event_is_noticed() {
    let broken = noticed(|journal| {
        replace(
            journal,
            "listed <c> job:3 13 exhausted 2 - 1 failed 2 failed",
            "listed <c> job:3 13 exhausted 2 - 1 failed 2 strange",
        );
    });
    assert_eq!(broken, Broken::LetterWrong);
}

/// The process died once before, and it takes three times.
#[test]
fn an_event_that_is_dead_lettered_too_early_is_noticed() {
    let broken = noticed(|journal| {
        let letter = "buried <f> job:4 14 process-crash 1 - 1 crashed";
        before(journal, "start <f> job:4 1 14", 1, &[letter]);
    });
    assert_eq!(broken, Broken::LetterWrong);
}

#[test]
fn a_changed_payload_is_noticed() {
    let broken =
        noticed(|journal| replace(journal, "start <g> job:6 1 16", "start <g> job:6 1 17"));
    assert_eq!(broken, Broken::WrongPayload);
}

#[test]
fn a_letter_with_another_payload_is_noticed() {
    let broken = noticed(|journal| {
        replace(
            journal,
            "listed <k> job:11 21 exhausted 1 - 1 failed",
            "listed <k> job:11 22 exhausted 1 - 1 failed",
        );
    });
    assert_eq!(broken, Broken::WrongPayload);
}

#[test]
fn an_event_that_was_never_sent_is_noticed() {
    let broken = noticed(|journal| before(journal, "killed", 1, &["start <z> job:99 1 1"]));
    assert_eq!(broken, Broken::NeverSent);
}

#[test]
fn an_event_that_runs_though_it_was_refused_is_noticed() {
    let broken = noticed(|journal| before(journal, "killed", 1, &["refused job:6"]));
    assert_eq!(broken, Broken::RanThoughRefused);
}

#[test]
fn an_event_that_is_accepted_as_two_is_noticed() {
    let broken = noticed(|journal| before(journal, "killed", 2, &["start <z> job:6 1 16"]));
    assert_eq!(broken, Broken::AcceptedTwice);
}

#[test]
fn an_event_in_memory_that_comes_back_is_noticed() {
    let broken = noticed(|journal| before(journal, "killed", 2, &["start <i> job:9 1 19"]));
    assert_eq!(broken, Broken::Revived);
}

#[test]
fn a_batch_of_which_a_part_is_there_is_noticed() {
    let broken = noticed(|journal| forget(journal, "<h>"));
    assert_eq!(broken, Broken::Torn);
}

#[test]
fn a_redrive_whose_letter_goes_and_whose_event_does_not_come_is_noticed() {
    let broken = noticed(|journal| {
        let letter = "listed <k> job:11 21 exhausted 1 - 1 failed";
        let (from, to) = (at(journal, letter, 2), at(journal, "drained 7 6 1 0 0", 1));
        let of_k = ["<k>", "<l>"];
        let mut place = 0;
        journal.retain(|line| {
            place += 1;
            !(from < place && place <= to && of_k.iter().any(|id| line.contains(id)))
        });
    });
    assert_eq!(broken, Broken::RedriveLost);
}

#[test]
fn a_redrive_that_is_accepted_and_lost_is_noticed() {
    let broken = noticed(|journal| forget(journal, "<d>"));
    assert_eq!(broken, Broken::Lost);
}

#[test]
fn a_redrive_that_finds_no_letter_is_noticed() {
    let broken = noticed(|journal| replace(journal, "receipt letter:<k> <l> false", "missing <k>"));
    assert_eq!(broken, Broken::RedriveLost);
}

#[test]
fn a_redriven_letter_that_stays_in_the_queue_is_noticed() {
    let letter = "listed <c> job:3 13 exhausted 2 - 1 failed 2 failed";
    let broken = noticed(|journal| before(journal, "listed-all", 3, &[letter]));
    assert_eq!(broken, Broken::RedriveDoubled);
}

#[test]
fn a_letter_that_becomes_two_events_is_noticed() {
    let broken = noticed(|journal| before(journal, "killed", 2, &["start <z> letter:<c> 1 23"]));
    assert_eq!(broken, Broken::RedriveDoubled);
}
