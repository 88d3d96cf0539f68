//! Captures the log for tests: every span and event with its fields, and a way to wait for one.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test uses its part; one that unwraps fails as it should"
)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, Once, OnceLock};
use std::thread::ThreadId;

use tokio::sync::Notify;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// A span that was opened, or an event that was logged.
#[derive(Clone, Debug)]
pub struct Line {
    pub span: bool,
    pub level: Level,
    /// A span's name, an event's message.
    pub text: String,
    pub fields: BTreeMap<&'static str, String>,
    /// The fields of the span that an event was logged in.
    pub within: BTreeMap<&'static str, String>,
    pub thread: ThreadId,
}

impl Line {
    /// Returns whether the line belongs to this function and contains this text.
    pub fn is(&self, function: &str, text: &str) -> bool {
        self.text.contains(text)
            && self
                .fields
                .get("function")
                .is_some_and(|name| name == function)
    }
}

#[derive(Default)]
pub struct Log {
    lines: Mutex<Vec<Line>>,
    more: Notify,
}

/// Returns the log of this process, captured from the first call on.
pub fn log() -> Arc<Log> {
    static LOG: OnceLock<Arc<Log>> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Arc::new(Log::default());
        let registry = tracing_subscriber::registry().with(Listener(log.clone()));
        tracing::subscriber::set_global_default(registry).unwrap();
        log
    })
    .clone()
}

impl Log {
    pub fn lines(&self, wanted: impl Fn(&Line) -> bool) -> Vec<Line> {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .filter(|line| wanted(line))
            .cloned()
            .collect()
    }

    /// The first such line, as soon as there is one.
    pub async fn wait(&self, wanted: impl Fn(&Line) -> bool) -> Line {
        loop {
            let more = self.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if let Some(line) = self.lines(&wanted).into_iter().next() {
                return line;
            }
            more.await;
        }
    }

    fn add(&self, line: Line) {
        self.lines.lock().unwrap().push(line);
        self.more.notify_waiters();
    }
}

struct Listener(Arc<Log>);

#[derive(Clone, Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Listener {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let metadata = attributes.metadata();
        context
            .span(id)
            .unwrap()
            .extensions_mut()
            .insert(fields.clone());
        if metadata.target().starts_with("redrive") {
            self.0.add(Line {
                span: true,
                level: *metadata.level(),
                text: metadata.name().to_owned(),
                fields: fields.0,
                within: BTreeMap::new(),
                thread: std::thread::current().id(),
            });
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let within = context
            .event_span(event)
            .and_then(|span| span.extensions().get::<Fields>().cloned());
        self.0.add(Line {
            span: false,
            level: *event.metadata().level(),
            text: fields.0.remove("message").unwrap_or_default(),
            fields: fields.0,
            within: within.unwrap_or_default().0,
            thread: std::thread::current().id(),
        });
    }
}

/// Panics whose text says that they are on purpose leave no trace on the terminal.
pub fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref::<&str>() != Some(&"on purpose") {
                loud(panic);
            }
        }));
    });
}
