use std::borrow::Cow;
use std::ops::Range;

use super::time::Time;
use crate::catalog::ResourceKind;
use crate::json::{fields, string};

/// The nil UUID: the platform's way to say "no id".
pub(crate) const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// What is read of a payload when its delivery comes in, and kept with it.
#[derive(Clone, Default)]
pub(crate) struct Head {
    /// The resource's id, unless it is empty or the nil UUID.
    pub(super) id: Option<Text>,
    /// When the resource was last changed or, while that has not happened, created.
    pub(super) last_change: Option<Time>,
    /// Boxed, as few have it.
    pub(super) part: Option<Box<Part>>,
}

/// What a resource has that is a part of another.
#[derive(Clone)]
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

impl Head {
    /// Reads the payload of a body, of a resource of this kind, and its `direction`, which only routing
    /// needs. Of a field that comes twice the last one counts, as for the platform; of `id` the first.
    pub(super) fn read(
        body: &[u8],
        payload: &str,
        kind: Option<ResourceKind>,
    ) -> (Self, Option<Text>) {
        let container = kind.and_then(ResourceKind::container_field);
        let is_numbered = kind == Some(ResourceKind::AiMessageDelta);
        let (mut first_id, mut container_id, mut sequence) = (None, None, None);
        let (mut direction, mut updated, mut created) = (None, None, None);
        let read = fields(payload, |name, value| match name {
            "id" => first_id = first_id.or(Some(value)),
            "sequence" if is_numbered => sequence = value.parse().ok(),
            "direction" => direction = string(value),
            "tm_update" => updated = time(value),
            "tm_create" => created = time(value),
            name if Some(name) == container => container_id = id(value),
            _ => {}
        });
        if read.is_none() {
            return (Self::default(), None);
        }
        let head = Self {
            id: first_id.and_then(id).map(|id| Text::new(id, body)),
            last_change: updated.or(created),
            part: container.map(|_| {
                Box::new(Part {
                    container_id: container_id.map(Into::into),
                    sequence,
                })
            }),
        };
        (head, direction.map(|direction| Text::new(direction, body)))
    }
}

/// When the resource of a payload was last changed or, while that has not happened, created.
pub(crate) fn last_change(payload: &str) -> Option<Time> {
    Head::read(payload.as_bytes(), payload, None).0.last_change
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
    let text = std::str::from_utf8(&body[range.start as usize..range.end as usize]);
    debug_assert!(text.is_ok(), "the body is not the one that was read");
    text.unwrap_or_default()
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
        let (head, direction) = Head::read(payload.as_bytes(), payload, Some(kind));
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
    fn what_is_no_object_has_nothing() {
        for payload in ["null", "7", "\"id\"", "[{\"id\":\"x\"}]", "{}"] {
            let (head, direction) = read(payload, ResourceKind::Call);
            assert!(head.id.is_none() && head.last_change.is_none(), "{payload}");
            assert!(head.part.is_none() && direction.is_none(), "{payload}");
        }
    }
}
