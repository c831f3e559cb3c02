use std::collections::BTreeMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, MutexGuard};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as Values};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// One span or one event, of any crate and at any level.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The span's number, in the order in which they began; `None` for an event.
    pub span: Option<usize>,
    /// The numbers of the spans it is in, the innermost first.
    pub within: Vec<usize>,
    /// The name of a span, and of an event where it stands in the source.
    pub name: String,
    /// How important it is: `ERROR`, `WARN` and so on.
    pub level: String,
    /// The module it comes from.
    pub target: String,
    /// All fields as text.
    pub fields: BTreeMap<String, String>,
}

impl Record {
    /// One field, empty when it is missing.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// Begins to record everything that the process logs, once for all tests in it.
pub fn record_logs() {
    static RECORDING: LazyLock<()> = LazyLock::new(|| {
        let subscriber = tracing_subscriber::registry().with(Capture);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    LazyLock::force(&RECORDING);
}

/// Everything that was recorded.
pub fn logged() -> Vec<Record> {
    records().clone()
}

static RECORDS: Mutex<Vec<Record>> = Mutex::new(Vec::new());

fn records() -> MutexGuard<'static, Vec<Record>> {
    RECORDS.lock().unwrap()
}

struct Capture;

/// Ids are used again when a span has ended; numbers are not.
struct Number(usize);

impl<S> Layer<S> for Capture
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let within = numbers(span.parent());
        let mut records = records();
        let number = records.len();
        span.extensions_mut().insert(Number(number));
        let mut record = record(attributes.metadata(), within);
        attributes.record(&mut Fields(&mut record.fields));
        records.push(Record {
            span: Some(number),
            ..record
        });
    }

    fn on_record(&self, id: &Id, values: &Values<'_>, context: Context<'_, S>) {
        let number = context
            .span(id)
            .unwrap()
            .extensions()
            .get::<Number>()
            .unwrap()
            .0;
        values.record(&mut Fields(&mut records()[number].fields));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut record = record(event.metadata(), numbers(context.event_span(event)));
        event.record(&mut Fields(&mut record.fields));
        records().push(record);
    }
}

fn numbers<'a, S>(span: Option<tracing_subscriber::registry::SpanRef<'a, S>>) -> Vec<usize>
where
    S: Subscriber + LookupSpan<'a>,
{
    let scope = span.into_iter().flat_map(|span| span.scope());
    scope
        .map(|span| span.extensions().get::<Number>().unwrap().0)
        .collect()
}

fn record(metadata: &Metadata<'_>, within: Vec<usize>) -> Record {
    Record {
        within,
        name: metadata.name().to_owned(),
        level: metadata.level().to_string(),
        target: metadata.target().to_owned(),
        ..Record::default()
    }
}

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    /// With all that a subscriber could make of an error.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = format!("{value} {value:?}");
        let mut source = value.source();
        while let Some(error) = source {
            text.push_str(&format!(" {error} {error:?}"));
            source = error.source();
        }
        self.0.insert(field.name().to_owned(), text);
    }
}
