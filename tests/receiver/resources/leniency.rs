//! Whatever the platform may send some day, a payload is read.

use std::sync::LazyLock;

use crate::resources::support::{Fixture, fixtures, read};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value};
use voipbin_receiver::event::Time;
use voipbin_receiver::resource::{Call, CallStatus};

static FIXTURES: LazyLock<Vec<Fixture>> = LazyLock::new(|| {
    let mut all = fixtures("today");
    all.extend(fixtures("documented"));
    all
});

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("a number", |number| number.is_finite())
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::from("00000000-0000-0000-0000-000000000000")),
        Just(Value::from("9999-01-01 00:00:00.000000")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A time of day as the platform writes it, with each number of fraction digits and in both forms,
/// and in today's form.
fn time() -> impl Strategy<Value = (String, String)> {
    (
        1..=9999_u32,
        1..=12_u32,
        1..=28_u32,
        0..24_u32,
        0..60_u32,
        0..60_u32,
    )
        .prop_flat_map(|date| (Just(date), 0..=9_usize, 0..1_000_000_000_u32, any::<bool>()))
        .prop_map(
            |((year, month, day, hour, minute, second), digits, nanos, old)| {
                let fraction = format!("{nanos:09}");
                let fraction = &fraction[..digits];
                let point = if digits == 0 { "" } else { "." };
                let (gap, zone) = if old { (" ", "") } else { ("T", "Z") };
                let date = format!("{year:04}-{month:02}-{day:02}");
                let clock = format!("{hour:02}:{minute:02}:{second:02}");
                let trimmed = fraction.trim_end_matches('0');
                let trimmed_point = if trimmed.is_empty() { "" } else { "." };
                (
                    format!("{date}{gap}{clock}{point}{fraction}{zone}"),
                    format!("{date}T{clock}{trimmed_point}{trimmed}Z"),
                )
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_subset_of_the_fields_is_read(at in any::<Index>(), seed in any::<u64>()) {
        let fixture = at.get(&FIXTURES);
        let all: Map<String, Value> = serde_json::from_str(&fixture.data).unwrap();
        let some: Map<String, Value> = all
            .into_iter()
            .enumerate()
            .filter(|(position, _)| seed.rotate_left(*position as u32) & 1 == 1)
            .map(|(_, field)| field)
            .collect();
        let result = read(fixture.kind(), &serde_json::to_string(&some).unwrap());
        prop_assert!(result.round_trips);
        prop_assert!(result.odd.is_empty() || fixture.file.ends_with("-odd.json"));
    }

    #[test]
    fn a_field_of_any_shape_does_not_fail_the_payload(
        at in any::<Index>(),
        field in any::<Index>(),
        value in json(),
    ) {
        let fixture = at.get(&FIXTURES);
        let name = *field.get(fixture.kind().fields());
        let mut all: Map<String, Value> = serde_json::from_str(&fixture.data).unwrap();
        all.insert(name.to_owned(), value);
        let result = read(fixture.kind(), &serde_json::to_string(&all).unwrap());
        prop_assert!(result.round_trips, "{} {}", name, result.json);
    }

    #[test]
    fn an_unknown_field_is_kept(at in any::<Index>(), name in any::<String>(), value in json()) {
        let fixture = at.get(&FIXTURES);
        prop_assume!(!fixture.kind().fields().contains(&name.as_str()));
        let mut all: Map<String, Value> = serde_json::from_str(&fixture.data).unwrap();
        all.insert(name.clone(), value.clone());
        let result = read(fixture.kind(), &serde_json::to_string(&all).unwrap());
        prop_assert!(result.round_trips);
        prop_assert!(result.unknown.contains(&name));
        let field = format!("{}:{value}", Value::from(name));
        prop_assert!(result.json.contains(&field), "{} {}", field, result.json);
    }

    #[test]
    fn an_unknown_word_in_any_field_is_kept(
        at in any::<Index>(),
        field in any::<Index>(),
        word in "[^0-9].*",
    ) {
        let fixture = at.get(&FIXTURES);
        let mut all: Map<String, Value> = serde_json::from_str(&fixture.data).unwrap();
        let words: Vec<String> = all
            .iter()
            .filter(|(name, value)| value.is_string() && !name.starts_with("tm_"))
            .map(|(name, _)| name.clone())
            .collect();
        prop_assume!(!words.is_empty());
        let name = field.get(&words);
        let odd = fixture.read().odd;
        prop_assume!(!odd.contains(name));
        all.insert(name.clone(), Value::from(word.as_str()));
        let result = read(fixture.kind(), &serde_json::to_string(&all).unwrap());
        prop_assert!(result.round_trips);
        prop_assert_eq!(result.odd.len(), odd.len());
        let written: Map<String, Value> = serde_json::from_str(&result.json).unwrap();
        if !written[name].is_object() {
            prop_assert_eq!(&written[name], &Value::from(word));
        }
    }

    #[test]
    fn an_unknown_word_of_an_enum_is_its_other(word in ".+") {
        let json = serde_json::json!({ "status": word }).to_string();
        let call: Call = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(call.status.as_ref().map(CallStatus::as_str), Some(word.as_str()));
        prop_assert!(call.odd.is_empty());
        prop_assert_eq!(&serde_json::from_str::<Call>(&serde_json::to_string(&call).unwrap()).unwrap(), &call);
    }

    #[test]
    fn any_form_of_a_time_is_read_and_written_in_todays((given, expected) in time()) {
        let time: Time = given.parse().unwrap();
        prop_assert_eq!(time.to_string(), expected.as_str());
        let call: Call = serde_json::from_value(serde_json::json!({ "tm_hangup": given })).unwrap();
        prop_assert!(call.odd.is_empty());
        let sentinel = expected.starts_with("9999-01-01");
        prop_assert_eq!(call.tm_hangup, (!sentinel).then_some(time));
    }

    #[test]
    fn times_sort_as_their_texts_do(mut times in prop::collection::vec(time(), 2)) {
        let fixed = |(given, _): &(String, String)| {
            let digits: String = given.chars().filter(char::is_ascii_digit).collect();
            format!("{digits:0<23}")
        };
        times.sort_by_key(fixed);
        let parsed: Vec<Time> = times.iter().map(|(given, _)| given.parse().unwrap()).collect();
        prop_assert!(parsed.is_sorted());
    }

    #[test]
    fn any_text_is_a_time_or_an_error(text in any::<String>()) {
        let _ = text.parse::<Time>();
    }

    #[test]
    fn the_order_of_the_fields_does_not_matter(at in any::<Index>(), seed in any::<u64>()) {
        let fixture = at.get(&FIXTURES);
        let mut fields: Vec<(String, Value)> =
            serde_json::from_str::<Map<String, Value>>(&fixture.data).unwrap().into_iter().collect();
        let length = fields.len().max(1);
        fields.rotate_left(usize::try_from(seed).unwrap_or_default() % length);
        let written: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())))
            .collect();
        let result = read(fixture.kind(), &format!("{{{}}}", written.join(",")));
        prop_assert!(result.round_trips);
        prop_assert_eq!(result.odd.len(), fixture.read().odd.len());
    }
}
