//! Which events a page shows: one filter, read from the address of the page and written back into
//! it.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use form_urlencoded::byte_serialize;

use super::access::{Permit, Revealer};
use crate::catalog::EventType;
use crate::event::{HandlerName, Time};
use crate::inbox::{AttemptEnd, ErrorFilter, PhoneNumber, RecordFilter, RecordState};

/// The longest filter that is read, in bytes.
pub(super) const LONGEST: usize = 500;

/// `type:call_hangup handler:crm state:dead since:1h`, in any order; all events by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    event_type: Option<String>,
    handler: Option<String>,
    resource: Option<String>,
    state: Option<RecordState>,
    since: Option<Since>,
    error: Option<ErrorFilter>,
    text: Option<String>,
    number: Option<(PhoneNumber, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Since {
    /// So long ago, as it was written.
    Ago(Duration, String),
    At(Time),
}

/// Why a filter cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FilterError {
    TooLong,
    Term(String),
    Value(&'static str),
}

impl Filter {
    /// Those in this state.
    pub(super) fn of_state(state: RecordState) -> Self {
        Self {
            state: Some(state),
            ..Self::default()
        }
    }

    /// Those of this resource.
    pub(super) fn of_resource(id: &str) -> Self {
        Self {
            resource: Some(id.to_owned()),
            ..Self::default()
        }
    }

    /// The same for this handler.
    pub(super) fn for_handler(self, handler: &HandlerName) -> Self {
        Self {
            handler: Some(handler.as_str().to_owned()),
            ..self
        }
    }

    /// The same where the last attempt ended like this. Of an error the beginning of its text
    /// counts, where it is to be shown.
    pub(super) fn with_error(self, ended: Option<&AttemptEnd>, with_text: bool) -> Self {
        let is_text =
            |text: &str| !text.is_empty() && !ERRORS.iter().any(|(word, _)| *word == text);
        let error = match ended {
            Some(AttemptEnd::Failed(text)) if with_text && is_text(text) => {
                ErrorFilter::Text(text.chars().take(80).collect())
            }
            Some(AttemptEnd::Failed(_)) => ErrorFilter::Failed,
            Some(AttemptEnd::Panicked) => ErrorFilter::Panicked,
            Some(AttemptEnd::TimedOut) => ErrorFilter::TimedOut,
            Some(AttemptEnd::Interrupted) => ErrorFilter::Interrupted,
            None => ErrorFilter::Unknown,
        };
        Self {
            error: Some(error),
            ..self
        }
    }

    /// The same of dead letters, with a time in the place of how long ago.
    pub(super) fn dead(self, now: SystemTime) -> Self {
        let since = self.since.map(|since| match since {
            Since::Ago(ago, _) => {
                let at = now.checked_sub(ago).map(Time::try_from);
                at.and_then(Result::ok).map_or(since, Since::At)
            }
            at => at,
        });
        Self {
            state: Some(RecordState::Dead),
            since,
            ..self
        }
    }

    pub(super) fn is_of_dead(&self) -> bool {
        self.state == Some(RecordState::Dead)
    }

    /// Whether it looks into bodies and errors: what it finds tells of them.
    pub(super) fn looks_into_bodies(&self) -> bool {
        let error = matches!(self.error, Some(ErrorFilter::Text(_)));
        self.text.is_some() || self.number.is_some() || error
    }

    /// For the inbox. What looks into bodies is left out.
    pub(super) fn records(&self, now: SystemTime) -> RecordFilter {
        let mut filter = RecordFilter::new();
        if let Some(event_type) = &self.event_type {
            filter = filter.event_type(EventType::parse(event_type));
        }
        if let Some(handler) = &self.handler {
            filter = filter.handler(HandlerName::new(handler));
        }
        if let Some(resource) = &self.resource {
            filter = filter.resource_id(resource);
        }
        if let Some(state) = self.state {
            filter = filter.state(state);
        }
        if let Some(error) = &self.error
            && !matches!(error, ErrorFilter::Text(_))
        {
            filter = filter.error(error.clone());
        }
        let since = match &self.since {
            Some(Since::Ago(ago, _)) => now.checked_sub(*ago),
            Some(Since::At(time)) => time.to_system_time(),
            None => None,
        };
        match since {
            Some(since) => filter.received_after(since),
            None => filter,
        }
    }

    /// For the inbox, for somebody who may see bodies.
    pub(super) fn all_records(&self, now: SystemTime, _: &Permit<Revealer>) -> RecordFilter {
        let mut filter = self.records(now);
        if let Some(error) = &self.error {
            filter = filter.error(error.clone());
        }
        if let Some(text) = &self.text {
            filter = filter.mentions(text);
        }
        if let Some((number, _)) = &self.number {
            filter = filter.number(number.clone());
        }
        filter
    }

    /// As a query of an address, with where the page begins.
    pub(super) fn query(&self, before: Option<u64>) -> String {
        let text = self.to_string();
        let filter: String = byte_serialize(text.as_bytes()).collect();
        match before {
            Some(before) => format!("?q={filter}&before={before}"),
            None => format!("?q={filter}"),
        }
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), FilterError> {
        match name {
            "type" => self.event_type = Some(value),
            "handler" => self.handler = Some(value),
            "resource" => self.resource = Some(value),
            "text" => self.text = Some(value),
            "state" => {
                let states = [RecordState::Pending, RecordState::Dead, RecordState::Done];
                let state = states.into_iter().find(|state| state.as_str() == value);
                self.state = Some(state.ok_or(FilterError::Value("state:"))?);
            }
            "since" => {
                let since = Since::parse(&value).ok_or(FilterError::Value("since:"))?;
                self.since = Some(since);
            }
            "error" => {
                let kind = ERRORS.iter().find(|(word, _)| *word == value);
                let text = || ErrorFilter::Text(value.clone());
                self.error = Some(kind.map_or_else(text, |(_, kind)| kind.clone()));
            }
            "number" => {
                let number = value.parse().map_err(|_| FilterError::Value("number:"))?;
                self.number = Some((number, value));
            }
            _ => return Err(FilterError::Term(name.to_owned())),
        }
        Ok(())
    }
}

/// Kinds of error, each by a word. Any other word is looked for in the texts of errors.
const ERRORS: [(&str, ErrorFilter); 5] = [
    ("failed", ErrorFilter::Failed),
    ("panicked", ErrorFilter::Panicked),
    ("timeout", ErrorFilter::TimedOut),
    ("interrupted", ErrorFilter::Interrupted),
    ("unknown", ErrorFilter::Unknown),
];

impl Since {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(time) = text.parse() {
            return Some(Self::At(time));
        }
        let unit = text.chars().last()?;
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 24 * 3600,
            _ => return None,
        };
        let ago = Duration::from_secs(count.checked_mul(seconds)?);
        Some(Self::Ago(ago, text.to_owned()))
    }
}

/// Terms are separated by blanks; a value with a blank stands in double quotes, in which `""` is
/// one.
impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        if text.len() > LONGEST {
            return Err(FilterError::TooLong);
        }
        let mut filter = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let Some((name, after)) = rest.split_once(':') else {
                return Err(FilterError::Term(rest.to_owned()));
            };
            let (value, after) = value(after).ok_or(FilterError::Value("\""))?;
            if value.is_empty() {
                return Err(FilterError::Term(format!("{name}:")));
            }
            filter.set(name, value)?;
            rest = after.trim_start();
        }
        Ok(filter)
    }
}

/// A value, and what comes after it; `None` where a quote is open.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return Some((value.to_owned(), after));
    };
    let mut value = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        value.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                value.push('"');
                rest = after;
            }
            None => return Some((value, after)),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.since.as_ref().map(|since| match since {
            Since::Ago(_, text) => text.clone(),
            Since::At(time) => time.to_string(),
        });
        let number = self.number.as_ref().map(|(_, text)| text.clone());
        let state = self.state.map(|state| state.as_str().to_owned());
        let error = self.error.as_ref().map(|error| match error {
            ErrorFilter::Text(text) => text.clone(),
            kind => {
                let word = ERRORS.iter().find(|(_, one)| one == kind);
                word.map_or("", |(word, _)| *word).to_owned()
            }
        });
        let terms = [
            ("type", self.event_type.clone()),
            ("handler", self.handler.clone()),
            ("resource", self.resource.clone()),
            ("state", state),
            ("since", since),
            ("error", error),
            ("text", self.text.clone()),
            ("number", number),
        ];
        let mut separator = "";
        for (name, value) in terms {
            let Some(value) = value else { continue };
            f.write_str(separator)?;
            separator = " ";
            if value.contains(char::is_whitespace) || value.starts_with('"') {
                write!(f, "{name}:\"{}\"", value.replace('"', "\"\""))?;
            } else {
                write!(f, "{name}:{value}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "The filter is over {LONGEST} bytes long."),
            Self::Term(term) => write!(
                f,
                "There is no term {term}: there are type:, handler:, resource:, state:, since:, error:, text: and number:."
            ),
            Self::Value("state:") => f.write_str("A state is pending, dead or done."),
            Self::Value("since:") => {
                f.write_str("since: takes 15m, 12h, 7d or a time such as 2026-08-22T10:30:00Z.")
            }
            Self::Value("number:") => {
                f.write_str("number: takes a phone number with + and its country code.")
            }
            Self::Value(_) => f.write_str("A quotation mark is not closed."),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_filter_is_written_as_it_was_read() {
        for text in [
            "",
            "type:call_hangup handler:crm resource:c-1 state:dead since:1h",
            "handler:\"my crm\" since:2026-08-22T10:30:00Z",
            "text:\"say \"\"hello\"\" to\" number:+15551234567",
            "error:timeout",
            "error:\"connection refused\" text:c-1",
        ] {
            let filter: Filter = text.parse().unwrap();
            assert_eq!(filter.to_string(), text);
        }
        let filter: Filter = "  state:dead   type:x ".parse().unwrap();
        assert_eq!(filter.to_string(), "type:x state:dead");
        assert_eq!(filter.query(Some(7)), "?q=type%3Ax+state%3Adead&before=7");
    }

    #[test]
    fn an_error_is_looked_for_by_its_kind_or_by_its_text() {
        let kind = |text: &str| text.parse::<Filter>().unwrap().looks_into_bodies();
        assert!(!kind("error:failed") && !kind("error:unknown"));
        assert!(kind("error:refused"));
        for error in [
            "refused by \"crm\"\nat once",
            "",
            "timeout",
            &"é".repeat(300),
        ] {
            let ended = AttemptEnd::Failed(error.into());
            let filter = Filter::default().with_error(Some(&ended), true);
            assert_eq!(filter.to_string().parse(), Ok(filter), "{error}");
        }
    }

    #[test]
    fn of_dead_letters_a_time_stays_where_it_is() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let filter: Filter = "state:done since:1h".parse().unwrap();
        let dead = filter.dead(now);
        assert_eq!(dead.to_string(), "state:dead since:1970-01-12T12:46:40Z");
        assert_eq!(dead.clone().dead(now + Duration::from_secs(60)), dead);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, error) in [
            ("hello", FilterError::Term("hello".into())),
            ("colour:red", FilterError::Term("colour".into())),
            ("type:", FilterError::Term("type:".into())),
            ("state:gone", FilterError::Value("state:")),
            ("since:99999999999999999999d", FilterError::Value("since:")),
            ("since:18446744073709551615d", FilterError::Value("since:")),
            ("number:5551234567", FilterError::Value("number:")),
            ("text:\"open", FilterError::Value("\"")),
        ] {
            assert_eq!(text.parse::<Filter>(), Err(error), "{text}");
        }
        let long = format!("type:{}", "x".repeat(LONGEST));
        assert_eq!(long.parse::<Filter>(), Err(FilterError::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_comes_back(text in "(type|handler|state|since|error|text|number|resource|[a-z]{0,3})?:?\"?[\\PC \"]{0,40}") {
            if let Ok(filter) = text.parse::<Filter>() {
                let again: Filter = filter.to_string().parse().unwrap();
                prop_assert_eq!(&again, &filter);
                let _ = filter.records(SystemTime::now());
                prop_assert!(filter.query(None).is_ascii());
            }
        }
    }
}
