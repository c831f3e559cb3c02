use std::borrow::Cow;
use std::ops::Range;

use super::time::Time;
use crate::catalog::ResourceKind;
use crate::json::{Object, object, string};

/// The nil UUID: the platform's way to say "no id".
pub(crate) const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// What is read of a payload when its delivery comes in, and kept with it.
#[derive(Clone, Default)]
pub(crate) struct Head {
    /// The resource's id, unless it is empty or the nil UUID.
    pub(super) id: Option<Text>,
    /// When the resource was last changed or, while that has not happened, created.
    pub(super) last_change: Option<Time>,
    pub(super) part: Option<Part>,
}

/// What a resource has that is a part of another.
#[derive(Clone, PartialEq)]
pub(super) struct Part {
    /// The id of the resource that it is a part of.
    pub(super) container_id: Option<Box<str>>,
    pub(super) sequence: Option<i64>,
}

/// A string of the body: where it lies or, when it was written with escapes, what it says.
#[derive(Clone)]
pub(crate) enum Text {
    At(Range<u32>),
    Unescaped(Box<str>),
}

/// The fields of a payload that a [`Head`] is made of, as they were written. Of one that comes
/// twice the last counts, as for the platform; of `id` the first.
#[derive(Default)]
pub(super) struct HeadFields<'a> {
    id: Option<&'a str>,
    direction: Option<&'a str>,
    sequence: Option<&'a str>,
    tm_create: Option<&'a str>,
    tm_update: Option<&'a str>,
    aicall_id: Option<&'a str>,
    chat_id: Option<&'a str>,
    transcribe_id: Option<&'a str>,
}

impl<'a> HeadFields<'a> {
    /// Those of a payload; none when it is no object.
    pub(super) fn of(payload: &'a str) -> Self {
        object(payload).unwrap_or_default()
    }

    fn field(&mut self, name: &str) -> Option<&mut Option<&'a str>> {
        Some(match name {
            "id" if self.id.is_none() => &mut self.id,
            "direction" => &mut self.direction,
            "sequence" => &mut self.sequence,
            "tm_create" => &mut self.tm_create,
            "tm_update" => &mut self.tm_update,
            "aicall_id" => &mut self.aicall_id,
            "chat_id" => &mut self.chat_id,
            "transcribe_id" => &mut self.transcribe_id,
            _ => return None,
        })
    }

    /// The head of a resource of this kind, and its `direction`, which only routing needs.
    pub(super) fn read(mut self, body: &[u8], kind: Option<ResourceKind>) -> (Head, Option<Text>) {
        let part = kind
            .and_then(ResourceKind::container_field)
            .map(|container| {
                let container_id = self.field(container).and_then(|field| *field);
                let is_numbered = kind == Some(ResourceKind::AiMessageDelta);
                let sequence = self.sequence.filter(|_| is_numbered);
                Part {
                    container_id: container_id.and_then(id).map(Into::into),
                    sequence: sequence.and_then(|number| number.parse().ok()),
                }
            });
        let last_change = self.tm_update.and_then(time);
        let head = Head {
            id: self.id.and_then(id).map(|id| Text::new(id, body)),
            last_change: last_change.or_else(|| self.tm_create.and_then(time)),
            part,
        };
        let direction = self.direction.and_then(string);
        (head, direction.map(|direction| Text::new(direction, body)))
    }
}

impl<'a> Object<'a> for HeadFields<'a> {
    fn wants(&self, name: &str) -> bool {
        Self::default().field(name).is_some()
    }

    fn set(&mut self, name: &str, json: &'a str) {
        if let Some(field) = self.field(name) {
            *field = Some(json);
        }
    }
}

/// When the resource of a payload was last changed or, while that has not happened, created.
pub(crate) fn last_change(payload: &str) -> Option<Time> {
    HeadFields::of(payload)
        .read(payload.as_bytes(), None)
        .0
        .last_change
}

impl Text {
    fn new(text: Cow<'_, str>, body: &[u8]) -> Self {
        match text {
            Cow::Borrowed(text) => Self::At(range_in(body, text)),
            Cow::Owned(text) => Self::Unescaped(text.into()),
        }
    }

    pub(crate) fn in_body<'a>(&'a self, body: &'a [u8]) -> &'a str {
        match self {
            Self::At(range) => text_at(body, range),
            Self::Unescaped(text) => text,
        }
    }
}

/// Where a part of a body lies in it.
pub(super) fn range_in(body: &[u8], part: &str) -> Range<u32> {
    let start = part.as_ptr().addr() - body.as_ptr().addr();
    // `classify` refuses bodies that are longer.
    start as u32..(start + part.len()) as u32
}

/// A part of a body that was found to be text.
pub(super) fn text_at<'a>(body: &'a [u8], range: &Range<u32>) -> &'a str {
    let part = &body[range.start as usize..range.end as usize];
    std::str::from_utf8(part).unwrap_or_else(|error| {
        debug_assert!(false, "the body is not the one that was read: {error}");
        tracing::error!(%error, "a body is not the text that it was when it came");
        ""
    })
}

fn id(value: &str) -> Option<Cow<'_, str>> {
    string(value).filter(|id| !id.is_empty() && *id != NIL)
}

fn time(value: &str) -> Option<Time> {
    let time: Time = string(value)?.parse().ok()?;
    (!time.is_not_yet()).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(payload: &str, kind: ResourceKind) -> (Head, Option<String>) {
        let fields = HeadFields::of(payload);
        let (head, direction) = fields.read(payload.as_bytes(), Some(kind));
        let direction = direction.map(|text| text.in_body(payload.as_bytes()).to_owned());
        (head, direction)
    }

    #[test]
    fn of_a_field_that_comes_twice_the_last_one_counts_and_of_the_id_the_first() {
        let payload = r#"{"id":"a","aicall_id":"c","sequence":1,"direction":"in",
            "tm_update":"2026-08-22T10:30:05Z","id":"b","aicall_\u0069d":"d","sequence":2,
            "direction":"o\u0075t","tm_update":"2026-08-22T10:30:06Z"}"#;
        let (head, direction) = read(payload, ResourceKind::AiMessageDelta);
        let id = head.id.unwrap();
        assert_eq!(id.in_body(payload.as_bytes()), "a");
        assert_eq!(direction.as_deref(), Some("out"));
        assert_eq!(head.last_change, "2026-08-22T10:30:06Z".parse().ok());
        let part = head.part.unwrap();
        assert_eq!(part.container_id.as_deref(), Some("d"));
        assert_eq!(part.sequence, Some(2));
    }

    #[test]
    fn fields_of_another_shape_are_none_and_what_was_not_changed_was_created() {
        let payload = r#"{"id":7,"chat_id":"","sequence":"1","direction":null,
            "tm_create":"2026-08-22 10:30:05.000000","tm_update":"9999-01-01 00:00:00.000000",
            "\ud800":1,"nested":{"id":"x","direction":"in"}}"#;
        let (head, direction) = read(payload, ResourceKind::ChatMessage);
        assert!(head.id.is_none());
        assert_eq!(direction, None);
        assert_eq!(head.last_change, "2026-08-22T10:30:05Z".parse().ok());
        let part = head.part.unwrap();
        assert_eq!((part.container_id, part.sequence), (None, None));
    }

    #[test]
    fn what_a_part_belongs_to_is_read_of_every_kind_of_part() {
        for kind in ResourceKind::ALL {
            let Some(container) = kind.container_field() else {
                continue;
            };
            let payload = format!(r#"{{"id":"part","{container}":"whole"}}"#);
            let part = read(&payload, *kind).0.part.unwrap();
            assert_eq!(part.container_id.as_deref(), Some("whole"), "{kind:?}");
        }
    }

    #[test]
    fn what_is_no_object_has_nothing() {
        for payload in ["null", "7", "\"id\"", "[{\"id\":\"x\"}]", "{}"] {
            let (head, direction) = read(payload, ResourceKind::Call);
            assert!(head.id.is_none() && head.last_change.is_none(), "{payload}");
            assert!(head.part.is_none() && direction.is_none(), "{payload}");
        }
    }
}
