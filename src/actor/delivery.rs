//! Brings the record of a finished event to its destination.

use std::sync::Arc;

use crate::admission::Admission;
use crate::admission::destinations::UnknownDestination;
use crate::base::panic;
use crate::error::InvokeError;
use crate::event::Options;
use crate::event::dead_letter::Condition;
use crate::event::meta::EventMeta;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::function::destination::{Destination, DestinationTarget, InvocationRecord};
use crate::mailbox::Mailbox;
use crate::telemetry;

/// The event that the record is about, as far as its successor inherits from it.
pub(crate) struct Ancestor {
    pub(crate) request_id: RequestId,
    pub(crate) hops: u8,
    pub(crate) traces: EventMeta,
}

/// Delivers `record`. One that can't be delivered is counted and logged (MET-15), and not tried again (DST-17).
/// `run` decides where a closure, which is user code, may run.
pub(crate) fn deliver(
    admission: &Arc<Admission>,
    mailbox: &Arc<Mailbox>,
    destination: &Destination,
    record: InvocationRecord,
    ancestor: Ancestor,
    run: impl FnOnce(Box<dyn FnOnce() + Send>),
) {
    match &destination.0 {
        DestinationTarget::Recipient(recipient) => {
            if let Err(error) = recipient.try_send(record) {
                failed(mailbox, ancestor.request_id, &error.to_string());
            }
        }
        DestinationTarget::Closure(closure) => {
            let (closure, mailbox, id) = (closure.clone(), mailbox.clone(), ancestor.request_id);
            run(Box::new(move || {
                guarded(&mailbox, id, || closure(record));
            }));
        }
        DestinationTarget::Function(function, qualifier) => {
            let target = (function, qualifier.clone());
            invoke(admission, mailbox, target, record, ancestor);
        }
    }
}

/// Runs user code that stands between a record and its destination: a panic in it is a failed delivery.
pub(crate) fn guarded(mailbox: &Mailbox, request_id: RequestId, code: impl FnOnce()) {
    if let Err(panicked) = panic::catch(code) {
        failed(mailbox, request_id, &panicked.message);
    }
}

/// DST-13: a further asynchronous invocation, one hop on.
fn invoke(
    admission: &Arc<Admission>,
    mailbox: &Arc<Mailbox>,
    (function, qualifier): (&Arc<str>, Option<Arc<str>>),
    record: InvocationRecord,
    ancestor: Ancestor,
) {
    let Ancestor {
        request_id,
        hops,
        traces,
    } = ancestor;
    // What died of a loop ends here: another dead end would have a record too, and so on without end.
    let ended = record.request_context.condition == Condition::Recursion.to_string();
    // As JSON: the other function's payload type is its own.
    let payload = match serde_json::value::to_raw_value(&record) {
        Ok(json) => Payload::from(json),
        Err(error) => return failed(mailbox, request_id, &error.to_string()),
    };
    let hops = hops.saturating_add(1);
    let options = Options {
        meta: EventMeta {
            qualifier,
            hops,
            ..traces
        },
        ..Options::default()
    };
    let admitting = admission.accept(function, Ok(payload.clone()), Some(Box::new(options)));
    let (admission, source, target) = (admission.clone(), mailbox.clone(), function.clone());
    let conclude = move |error: InvokeError| match (error, admission.registry.named(&target)) {
        (InvokeError::Recursion { .. }, Some(looping))
            if !ended && admission.dead_end(&looping, payload, hops).is_ok() => {}
        (error, _) => failed(&source, request_id, &error.to_string()),
    };
    match admitting {
        crate::admission::receipts::Admitting::Over(Ok(_)) => {}
        crate::admission::receipts::Admitting::Over(Err(error)) => conclude(error),
        crate::admission::receipts::Admitting::Storing(receipts) => {
            actix_rt::spawn(async move {
                if let Err(error) = receipts.one().await {
                    conclude(error);
                }
            });
        }
    }
}

/// No destination has this ARN: the application that named it names it no more.
pub(crate) fn unreachable(
    mailbox: &Mailbox,
    request_id: RequestId,
    UnknownDestination(arn): UnknownDestination,
) {
    let reason = format!("nothing has the ARN `{arn}`: name it with `Builder::destination`");
    failed(mailbox, request_id, &reason);
}

pub(crate) fn failed(mailbox: &Mailbox, request_id: RequestId, reason: &str) {
    mailbox.meter(|meters| meters.destination_delivery_failures += 1);
    telemetry::destination_failed(mailbox.name(), request_id, reason);
}
