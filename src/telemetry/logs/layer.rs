//! Where `tracing` and the logs meet: what is logged within an attempt's span belongs to its event.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::line::OneLine;
use super::{Logs, Owner};
use crate::base::clock;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::telemetry;

/// Adds what handlers log to the logs of their events; from [`Logs::layer`].
#[derive(Clone, Debug)]
pub struct LogLayer(Logs);

impl Logs {
    /// A layer for `tracing-subscriber`: what a handler logs becomes part of its event's log, as
    /// `[LEVEL]`, time, request id and text, with tabs between them. A text of several lines becomes one, with `\n` between
    /// them, so that it can't pass for a line of the runtime's.
    ///
    /// It needs the spans of attempts, which are of level `INFO` and target `redrive`: a filter that drops those drops all.
    ///
    /// ```
    /// use redrive::{Logs, Runtime};
    /// use tracing_subscriber::prelude::*;
    ///
    /// let logs = Logs::new();
    /// tracing_subscriber::registry().with(logs.layer()).init();
    /// let builder = Runtime::builder().logs(logs);
    /// ```
    pub fn layer(&self) -> LogLayer {
        LogLayer(self.clone())
    }
}

/// The event that a span's attempt is of.
struct Attempt(Owner);

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !telemetry::is_attempt(attributes.metadata()) {
            return;
        }
        let mut found = Found::default();
        attributes.record(&mut found);
        if let (Some(owner), Some(span)) = (found.owner(), context.span(id)) {
            span.extensions_mut().insert(Attempt(owner));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let attempt = |span: tracing_subscriber::registry::SpanRef<'_, S>| {
            let extensions = span.extensions();
            extensions.get::<Attempt>().map(|it| it.0.clone())
        };
        let mut scope = context.event_scope(event).into_iter().flatten();
        let Some(owner) = scope.find_map(attempt) else {
            return;
        };
        let mut line = Line::default();
        event.record(&mut line);
        let level = event.metadata().level();
        let time = humantime::format_rfc3339_millis(clock::wall_now());
        let Line { message, fields } = line;
        let (request_id, said) = (owner.event, OneLine(message + &fields));
        self.0.shard(&owner).lock().add(&owner, |log| {
            let _ = writeln!(log, "[{level}]\t{time}\t{request_id}\t{said}");
        });
    }
}

#[derive(Default)]
struct Found {
    function: Option<FunctionName>,
    event: Option<RequestId>,
}

impl Found {
    fn owner(self) -> Option<Owner> {
        Some(Owner::new(self.function?, self.event?))
    }
}

impl Visit for Found {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "function" => self.function = Some(FunctionName::new(&format!("{value:?}"))),
            "request_id" => self.event = format!("{value:?}").parse().ok(),
            _ => {}
        }
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
