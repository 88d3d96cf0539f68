//! A layer of `tracing-subscriber`: adds the lines that are logged within an attempt's span to the log of its event.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::line::OneLine;
use super::{LogOwner, Logs};
use crate::base::clock;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::telemetry::attempt_span;

/// Adds the lines that handlers log to the logs of their events; from [`Logs::layer`].
#[derive(Clone, Debug)]
pub struct LogLayer(Logs);

impl Logs {
    /// Returns a layer for `tracing-subscriber` that adds each line of a handler to its event's log, as `[LEVEL]`, time,
    /// request id and text, separated by tabs. A text of several lines becomes one line, joined by `\n`, so that it can't
    /// imitate a line of the runtime.
    ///
    /// It needs the spans of attempts, which have the level `INFO` and the target `redrive`: a filter that drops these spans
    /// drops all lines.
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

/// The owner of the log that an attempt's span writes to; an extension of the span.
struct SpanOwner(LogOwner);

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !is_attempt(attributes.metadata()) {
            return;
        }
        let mut found = SpanFields::default();
        attributes.record(&mut found);
        if let (Some(owner), Some(span)) = (found.owner(), context.span(id)) {
            span.extensions_mut().insert(SpanOwner(owner));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let attempt = |span: tracing_subscriber::registry::SpanRef<'_, S>| {
            let extensions = span.extensions();
            extensions.get::<SpanOwner>().map(|it| it.0.clone())
        };
        let mut scope = context.event_scope(event).into_iter().flatten();
        let Some(owner) = scope.find_map(attempt) else {
            return;
        };
        let mut line = LogLine::default();
        event.record(&mut line);
        let level = event.metadata().level();
        let time = humantime::format_rfc3339_millis(clock::wall_now());
        let LogLine { message, fields } = line;
        let (request_id, text) = (owner.event, OneLine(message + &fields));
        self.0.shard(&owner).lock().add(&owner, |log| {
            let _ = writeln!(log, "[{level}]\t{time}\t{request_id}\t{text}");
        });
    }
}

fn is_attempt(span: &tracing::Metadata<'_>) -> bool {
    span.name() == attempt_span::NAME && span.target() == attempt_span::TARGET
}

/// The fields of an attempt's span that name the owner of its log.
#[derive(Default)]
struct SpanFields {
    function: Option<FunctionName>,
    event: Option<RequestId>,
}

impl SpanFields {
    fn owner(self) -> Option<LogOwner> {
        Some(LogOwner::new(self.function?, self.event?))
    }
}

impl Visit for SpanFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "function" => self.function = Some(FunctionName::new(&format!("{value:?}"))),
            "request_id" => self.event = format!("{value:?}").parse().ok(),
            _ => {}
        }
    }
}

/// A logged line: the message, and the other fields behind it.
#[derive(Default)]
struct LogLine {
    message: String,
    fields: String,
}

impl Visit for LogLine {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
