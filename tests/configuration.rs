//! Settings of functions that change while they run, and versions and aliases.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use common::{invoke, letter, secs, simulate, simulate_with, starts, steps};
use redrive::testing::{RecordingStore, Script, Simulation, Step, scripted};
use redrive::{
    BuildError, CallError, Client, Condition, Configuration, ConfigureError, Destination, Event,
    EventInvokeConfig, Function, Invoke, InvokeError, RecursiveLoop, RetryPolicy, Runtime,
};

/// Changes the settings of a function.
async fn set(client: &Client, function: &str, set: impl FnOnce(&mut Configuration)) {
    let change = |configuration: &mut Configuration| {
        set(configuration);
        Ok::<_, ConfigureError>(())
    };
    client.configure(function, change).await.unwrap();
}

/// Sets the event-invoke configuration of a qualifier.
async fn set_event_invoke(
    client: &Client,
    function: &str,
    qualifier: &str,
    change: impl FnOnce(&mut EventInvokeConfig),
) {
    let mut config = EventInvokeConfig::new(SystemTime::UNIX_EPOCH);
    change(&mut config);
    let add = |it: &mut Configuration| drop(it.event_invoke.insert(qualifier.to_owned(), config));
    set(client, function, add).await;
}

fn named(name: &str) -> Function {
    scripted(name).version(1).version(2).alias("live", 1)
}

/// ASY-13, ASY-19, CFG-12, UNV-08: an event that has already failed once follows the settings at the time of its retry.
#[test]
fn a_raised_retry_limit_applies_to_waiting_events() {
    simulate([scripted("f")], |s| async move {
        let id = invoke(&s, "f", Script::always_fails()).await;
        s.settle().await;
        set_event_invoke(&s.client(), "f", "$LATEST", |it| it.retries_max = Some(1)).await;
        s.advance(secs(3_600)).await;
        assert_eq!(starts(&letter(&s, id).await), [0, 60]);
        set_event_invoke(&s.client(), "f", "$LATEST", |it| it.retries_max = Some(0)).await;
        let id = invoke(&s, "f", Script::always_fails()).await;
        s.advance(secs(3_600)).await;
        assert_eq!(letter(&s, id).await.attempt_count, 1);
        s.assert_nothing_lost();
    });
}

/// ASY-13, ASY-19: a waiting retry is dropped when the limit is lowered.
#[test]
fn retries_beyond_a_lowered_limit_are_not_made() {
    simulate([scripted("f"), scripted("own")], |s| async move {
        let retries_max = async |function: &str, retries| {
            let change = |it: &mut EventInvokeConfig| it.retries_max = Some(retries);
            set_event_invoke(&s.client(), function, "$LATEST", change).await;
        };
        let (first, second) = (
            invoke(&s, "f", Script::always_fails()).await,
            invoke(&s, "f", Script::fails(1)).await,
        );
        let throttled = steps([Step::Throttle, Step::Succeed]);
        let throttled = invoke(&s, "f", throttled).await;
        let policy = RetryPolicy::fixed(1, secs(60));
        let event = Invoke::event("own", Script::fails(1)).retry(policy);
        let own = s.client().send(event).await.unwrap().request_id;
        s.settle().await;
        retries_max("f", 0).await;
        retries_max("own", 0).await;
        s.advance(secs(3_600)).await;
        for id in [first, second] {
            let letter = letter(&s, id).await;
            assert_eq!(letter.condition, Condition::RetriesExhausted);
            assert_eq!((letter.attempt_count, starts(&letter)), (1, vec![0]));
        }
        // Throttles don't count as retries, and an event's own policy is not changed.
        assert_eq!((s.succeeded("f"), s.succeeded("own")), (1, 1));
        let _ = (throttled, own);
        s.assert_nothing_lost();
    });
}

/// CFG-14: the settings of one qualifier don't apply to the others.
#[test]
fn each_qualifier_has_separate_settings() {
    simulate([named("f")], |s| async move {
        set_event_invoke(&s.client(), "f", "live", |it| it.retries_max = Some(0)).await;
        let mut counts = Vec::new();
        for qualifier in [Some("live"), Some("1"), Some("$LATEST"), None] {
            let mut event = Invoke::event("f", Script::always_fails());
            if let Some(qualifier) = qualifier {
                event = event.qualifier(qualifier);
            }
            let id = s.client().send(event).await.unwrap().request_id;
            s.advance(secs(3_600)).await;
            let letter = letter(&s, id).await;
            assert_eq!(letter.qualifier.as_deref(), qualifier);
            counts.push((
                letter.attempt_count,
                letter.version.as_deref().map(str::to_owned),
            ));
        }
        let one = || Some("1".to_owned());
        assert_eq!(counts, [(1, one()), (3, one()), (3, None), (3, None)]);
    });
}

/// ASY-17, CFG-12
#[test]
fn a_lowered_maximum_age_ends_the_retries_early() {
    simulate([scripted("f")], |s| async move {
        set_event_invoke(&s.client(), "f", "$LATEST", |it| {
            it.event_age_max = Some(secs(90));
        })
        .await;
        let id = invoke(&s, "f", Script::always_fails()).await;
        s.advance(secs(3_600)).await;
        let letter = letter(&s, id).await;
        assert_eq!(letter.condition, Condition::EventAgeExceeded);
        assert_eq!(starts(&letter), [0, 60]);
    });
}

fn slow(name: &str) -> Function {
    let slow = |_: Event<()>| async {
        tokio::time::sleep(secs(10)).await;
        Ok::<_, String>(())
    };
    Function::new(name, slow).timeout(secs(60))
}

async fn running(s: &Simulation) -> u64 {
    s.settle().await;
    s.running("f")
}

/// CON-02, CFG-24, CFG-26
#[test]
fn changed_concurrency_applies_from_the_next_event_on() {
    simulate([slow("f").concurrency(2)], |s| async move {
        let client = s.client();
        for _ in 0..40 {
            client.invoke("f", ()).await.unwrap();
        }
        assert_eq!(running(&s).await, 2);
        set(&client, "f", |it| it.reserved_concurrency = Some(5)).await;
        assert_eq!(running(&s).await, 5);
        set(&client, "f", |it| it.reserved_concurrency = Some(1)).await;
        assert_eq!(running(&s).await, 5, "what runs goes on");
        s.advance(secs(10)).await;
        assert_eq!(running(&s).await, 1);
        set(&client, "f", |it| it.reserved_concurrency = None).await;
        assert_eq!(running(&s).await, 2);
        s.advance(secs(600)).await;
        assert_eq!(s.succeeded("f"), 40);
        s.assert_nothing_lost();
    });
}

/// ASY-26 to ASY-29: waiting and new events die without an attempt; running ones finish.
#[test]
fn setting_reserved_concurrency_to_zero_dead_letters_the_waiting_events() {
    simulate([slow("f").concurrency(1)], |s| async move {
        let client = s.client();
        let runs = client.invoke("f", ()).await.unwrap().request_id;
        let waits = client.invoke("f", ()).await.unwrap().request_id;
        s.settle().await;
        let caller = client.clone();
        let call = actix_rt::spawn(async move { caller.call::<()>("f", ()).await });
        s.settle().await;
        set(&client, "f", |it| it.reserved_concurrency = Some(0)).await;
        let comes = client.invoke("f", ()).await.unwrap().request_id;
        let refused = client.call::<()>("f", ()).await.unwrap_err();
        let zero = InvokeError::ZeroReservedConcurrency {
            function: "f".into(),
        };
        assert_eq!(refused.to_string(), zero.to_string());
        s.settle().await;
        for id in [waits, comes] {
            let letter = letter(&s, id).await;
            assert_eq!(letter.condition, Condition::ZeroReservedConcurrency);
            assert_eq!(letter.attempt_count, 0);
        }
        let failed = call.await.unwrap().unwrap_err();
        assert!(matches!(failed, CallError::Failed(_)), "{failed}");
        s.advance(secs(10)).await;
        assert!(client.status(runs).await.unwrap().result::<()>().is_some());

        set(&client, "f", |it| it.reserved_concurrency = None).await;
        client.invoke("f", ()).await.unwrap();
        s.advance(secs(11)).await;
        assert_eq!(s.succeeded("f"), 2);
        s.assert_nothing_lost();
    });
}

/// An event that is delayed, or waits for a retry, dies when it is due.
#[test]
fn events_that_come_due_at_zero_concurrency_become_dead_letters() {
    simulate([scripted("f")], |s| async move {
        let retried = invoke(&s, "f", Script::always_fails()).await;
        let later = Invoke::event("f", Script::succeeds()).delay(secs(30));
        let later = s.client().send(later).await.unwrap().request_id;
        s.settle().await;
        set(&s.client(), "f", |it| it.reserved_concurrency = Some(0)).await;
        s.advance(secs(29)).await;
        assert_eq!(s.dead("f"), 0);
        s.advance(secs(31)).await;
        let count = async |id| letter(&s, id).await.attempt_count;
        assert_eq!((count(retried).await, count(later).await), (1, 0));
        s.assert_nothing_lost();
    });
}

/// CFG-27: at least 100 stay unreserved, and a function's own reservation is given back first.
#[test]
fn the_last_hundred_executions_can_not_be_reserved() {
    simulate([scripted("f"), scripted("g")], |s| async move {
        let client = s.client();
        set(&client, "f", |it| it.reserved_concurrency = Some(600)).await;
        let reserve = async |function, concurrency| {
            let change = |it: &mut Configuration| {
                it.reserved_concurrency = Some(concurrency);
                Ok::<_, ConfigureError>(())
            };
            client.configure(function, change).await
        };
        let refused = reserve("g", 301).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "a reserved concurrency of 301 for function `g` leaves less than 100 of 1000 to the others"
        );
        reserve("g", 300).await.unwrap();
        reserve("f", 601).await.unwrap_err();
        reserve("f", 600).await.unwrap();
        assert_eq!(
            client
                .function("g")
                .unwrap()
                .configuration
                .reserved_concurrency,
            Some(300)
        );
    });
}

/// REC-01, REC-06, CFG-29
#[test]
fn recursion_can_be_allowed_and_stopped() {
    simulate([scripted("f")], |s| async move {
        let client = s.client();
        let deep = || Invoke::event("f", Script::succeeds()).hops(16);
        client.send(deep()).await.unwrap_err();
        set(&client, "f", |it| {
            it.recursive_loop = Some(RecursiveLoop::Allow)
        })
        .await;
        client.send(deep()).await.unwrap();
        set(&client, "f", |it| {
            it.recursive_loop = Some(RecursiveLoop::Terminate)
        })
        .await;
        client.send(deep()).await.unwrap_err();
    });
    simulate([scripted("f").allow_recursion()], |s| async move {
        set(&s.client(), "f", |it| {
            it.recursive_loop = Some(RecursiveLoop::Terminate)
        })
        .await;
        let deep = Invoke::event("f", Script::succeeds()).hops(16);
        s.client().send(deep).await.unwrap_err();
    });
}

/// INV-23: the message names the timeout that is set.
#[test]
fn a_changed_timeout_applies_to_the_next_attempt() {
    simulate([slow("f")], |s| async move {
        set(&s.client(), "f", |it| it.timeout = Some(secs(2))).await;
        let failed = s.client().call::<()>("f", ()).await.unwrap_err();
        assert!(failed.to_string().contains("2.00 seconds"), "{failed}");
    });
}

/// DST-01, DST-04, DST-05, CFG-21: a destination is named by its ARN.
#[test]
fn records_go_to_the_configured_destinations() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    let queue = "arn:aws:sqs:us-east-1:000000000000:records";
    let listener = Destination::closure(move |record| log.lock().unwrap().push(record));
    let builder = Runtime::builder()
        .function(named("f"))
        .function(named("g"))
        .destination(queue, listener);
    simulate_with(builder, |s| async move {
        let client = s.client();
        let function = format!("{}:live", client.arn("g"));
        assert!(client.has_destination(queue) && client.has_destination(&function));
        assert!(!client.has_destination(&format!("{}:dead", client.arn("g"))));
        assert!(!client.has_destination("arn:aws:sqs:us-east-1:000000000000:other"));
        set_event_invoke(&client, "f", "live", |it| {
            it.on_success = Some(queue.to_owned());
            it.on_failure = Some(function);
            it.retries_max = Some(0);
        })
        .await;
        let send = async |script| {
            let event = Invoke::event("f", script).qualifier("live");
            client.send(event).await.unwrap();
        };
        send(Script::succeeds()).await;
        send(Script::always_fails()).await;
        invoke(&s, "f", Script::succeeds()).await;
        s.settle().await;
        let records = heard.lock().unwrap().clone();
        assert_eq!(records.len(), 1, "the unqualified one has no destination");
        let context = &records[0].request_context;
        assert_eq!(context.function_arn, format!("{}:live", client.arn("f")));
        let response = records[0].response_context.as_ref().unwrap();
        assert_eq!(&*response.executed_version, "1");
        // The record is not a script, so it fails there, as a version of `g`.
        assert_eq!(s.accepted("g"), 1);
        s.settle().await;
        let dead = common::letters(&s).await;
        let of_g = dead.iter().find(|it| it.function.as_str() == "g").unwrap();
        assert_eq!(of_g.qualifier.as_deref(), Some("live"));
    });
}

/// MET-15: the configured destination does not exist in this process.
#[test]
fn a_destination_that_is_gone_is_counted_and_loses_no_event() {
    simulate([scripted("f")], |s| async move {
        set_event_invoke(&s.client(), "f", "$LATEST", |it| {
            it.on_success = Some("arn:aws:sqs:us-east-1:000000000000:gone".to_owned());
        })
        .await;
        invoke(&s, "f", Script::succeeds()).await;
        s.settle().await;
        assert_eq!(s.succeeded("f"), 1);
        assert_eq!(s.stats("f").destination_delivery_failures, 1);
    });
}

/// NAM-13, NAM-16, INV-03
#[test]
fn a_handler_sees_the_qualifier_it_was_invoked_with() {
    let versions = Function::new("f", |event: Event<()>| async move {
        let context = event.context();
        let qualifier = context.qualifier().map(str::to_owned);
        Ok::<_, String>((qualifier, context.version().to_owned()))
    });
    let versions = versions.version(7).alias("live", 7);
    simulate([versions], |s| async move {
        let client = s.client();
        let ask = async |qualifier: Option<&str>| {
            let mut call = Invoke::event("f", ());
            if let Some(qualifier) = qualifier {
                call = call.qualifier(qualifier);
            }
            client.call_with::<(Option<String>, String)>(call).await
        };
        let seen = async |qualifier| ask(qualifier).await.unwrap();
        assert_eq!(seen(None).await, (None, "$LATEST".to_owned()));
        assert_eq!(
            seen(Some("live")).await,
            (Some("live".to_owned()), "7".to_owned())
        );
        assert_eq!(
            seen(Some("7")).await,
            (Some("7".to_owned()), "7".to_owned())
        );
        let refused = ask(Some("8")).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "function `f` has no version or alias `8`"
        );
        let event = Invoke::event("f", ()).qualifier("8");
        client.send(event).await.unwrap_err();
    });
}

/// INV-06
#[test]
fn only_calls_carry_a_clients_context() {
    let context = Function::new("f", |event: Event<()>| async move {
        let context = event.context().client_context().map(str::to_owned);
        Ok::<_, String>(context)
    });
    simulate([context], |s| async move {
        let client = s.client();
        let invoke = || Invoke::event("f", ()).client_context(r#"{"custom":{}}"#);
        let seen = client.call_with::<Option<String>>(invoke()).await.unwrap();
        assert_eq!(seen.as_deref(), Some(r#"{"custom":{}}"#));
        let id = client.send(invoke()).await.unwrap().request_id;
        let status = client.wait(id).await.unwrap();
        assert_eq!(status.result::<Option<String>>().unwrap().unwrap(), None);
    });
}

#[test]
fn an_invalid_configuration_changes_nothing() {
    simulate([scripted("f")], |s| async move {
        let client = s.client();
        let change = |it: &mut Configuration| {
            it.timeout = Some(Duration::ZERO);
            Ok::<_, ConfigureError>(())
        };
        let refused = client.configure("f", change).await.unwrap_err();
        assert!(
            refused.to_string().contains("timeout: is zero"),
            "{refused}"
        );
        assert!(client.function("f").unwrap().configuration.is_empty());
        let unknown = client.configure("g", |_| Ok::<_, ConfigureError>(())).await;
        assert!(matches!(
            unknown,
            Err(ConfigureError::UnknownFunction { .. })
        ));
        assert!(client.function("g").is_none());
    });
}

#[test]
fn every_faulty_alias_is_named_when_the_runtime_starts() {
    common::hush();
    redrive::testing::run(async {
        let faulty = scripted("f").version(0).alias("1", 9).alias("a b", 0);
        let builder = Runtime::builder().function(faulty);
        let Err(BuildError::Settings(faults)) = builder.start().await else {
            panic!()
        };
        let fields: Vec<_> = faults.iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["version", "alias", "alias"]);
    });
}

/// The next process has the configuration, also for a function that is added later. If the store can't keep a change, nothing
/// changes.
#[test]
fn configuration_outlives_the_process() {
    let store = RecordingStore::new();
    let start = |function: &str| {
        let builder = Runtime::builder().store(store.clone());
        builder.function(scripted(function))
    };
    simulate_with(start("f"), |s| async move {
        set_event_invoke(&s.client(), "f", "$LATEST", |it| it.retries_max = Some(0)).await;
        set(&s.client(), "f", |it| it.reserved_concurrency = Some(3)).await;
    });
    simulate_with(start("g"), |s| async move {
        assert!(s.client().function("g").unwrap().configuration.is_empty());
        s.runtime().add_function(scripted("f")).unwrap();
        let f = s.client().function("f").unwrap().configuration;
        assert_eq!(f.reserved_concurrency, Some(3));
        let id = invoke(&s, "f", Script::always_fails()).await;
        s.settle().await;
        assert_eq!(letter(&s, id).await.attempt_count, 1);
    });
}

/// BYD-03
#[test]
fn a_pause_outlives_the_process() {
    let store = RecordingStore::new();
    let start = || {
        let builder = Runtime::builder().store(store.clone());
        builder.function(scripted("f")).function(scripted("g"))
    };
    simulate_with(start(), |s| async move {
        set(&s.client(), "f", |it| it.paused = true).await;
        invoke(&s, "f", Script::succeeds()).await;
        s.advance(secs(60)).await;
        assert_eq!(s.stats("f").invocations, 0);
        // A resume for this process only does not end a stored pause.
        s.client().resume("f");
        s.settle().await;
        assert_eq!((s.succeeded("f"), s.stats("f").paused), (1, 0));
    });
    simulate_with(start(), |s| async move {
        invoke(&s, "f", Script::succeeds()).await;
        s.advance(secs(60)).await;
        assert_eq!(
            (s.stats("f").invocations, s.stats("f").events.ready),
            (0, 1)
        );
        let (of, all) = (s.stats("f").paused, s.client().stats().paused);
        assert_eq!((of, s.stats("g").paused, all), (1, 0, 1));
        let refused = s.client().call::<()>("f", Script::succeeds()).await;
        assert!(matches!(refused, Err(CallError::Refused(_))));
        assert_eq!(s.stats("f").throttles, 1);
        // Another change leaves it as it is.
        set(&s.client(), "f", |it| it.timeout = Some(secs(1))).await;
        s.advance(secs(60)).await;
        assert_eq!(s.stats("f").invocations, 0);
        set(&s.client(), "f", |it| it.paused = false).await;
        s.settle().await;
        assert_eq!((s.succeeded("f"), s.stats("f").paused), (1, 0));
    });
}
