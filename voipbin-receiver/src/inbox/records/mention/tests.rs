use super::{PhoneNumber, any_text, is_in};

fn number(text: &str) -> PhoneNumber {
    text.parse().unwrap()
}

#[test]
fn a_number_is_found_in_its_usual_spellings() {
    let american = number("+15551234567");
    for text in [
        "+15551234567",
        "15551234567",
        "0015551234567",
        "01115551234567",
        "011 1 555 123 4567",
        "+1 555 123 4567",
        "+1 (555) 123-4567",
        "+1.555.123.4567",
        "1-555-123-4567",
        "(555) 123-4567",
        "555-123-4567",
        "5551234567",
        "tel:+1-555-123-4567",
        "sip:15551234567@example.com",
        "call +1\u{a0}555\u{2011}123\u{2011}4567 back",
        "user15551234567x",
        "on 2026-08-22 15551234567 called",
        "3 +15551234567",
    ] {
        assert!(american.is_in(text), "{text}");
    }
    let german = number("+49 30 1234567");
    for text in [
        "030 1234567",
        "030/1234567",
        "+49 (0)30 1234567",
        "0049301234567",
        "49 30 123 4567",
    ] {
        assert!(german.is_in(text), "{text}");
    }
}

#[test]
fn the_number_of_somebody_else_is_not() {
    let number = number("+15551234567");
    for text in [
        "",
        "+",
        "+15551234568",
        "+155512345678",
        "+915551234567",
        "+91 5551234567",
        "+4915551234567",
        "115551234567",
        "1234567890",
        "551234567890",
        "123-4567",
        "5371e9db-d035-4db6-a8d6-0994d33e744e",
        "1555, 1234567",
        "1555\n1234567",
    ] {
        assert!(!number.is_in(text), "{text}");
    }
}

#[test]
fn what_names_nobody_is_no_number() {
    for text in [
        "",
        "+",
        "5551234567",
        "+12345",
        "+1234567890123456",
        "+1555abc4567",
        "00",
    ] {
        assert!(text.parse::<PhoneNumber>().is_err(), "{text}");
    }
    let shown = format!("{:?}", number("+15551234567"));
    assert!(!shown.contains("555"), "{shown}");
}

#[test]
fn an_id_is_found_whole_and_a_short_one_only_by_itself() {
    let id = "5371e9db-d035-4db6-a8d6-0994d33e744e";
    assert!(is_in(id, id));
    assert!(is_in(id, &format!("https://example.com/calls/{id}/media")));
    assert!(!is_in(id, &format!("x{id}")));
    assert!(is_in("c-1", "c-1") && !is_in("c-1", "see c-1") && !is_in("c-1", "c-12"));
}

#[test]
fn a_body_is_searched_behind_its_escapes_and_in_its_numbers_and_names() {
    let american = number("+15551234567");
    let found = |body: &str| any_text(body.as_bytes(), &|text| american.is_in(text));
    assert!(found(r#"{"a":[{"to":"\u002b1555\u0031234567"}]}"#));
    assert!(found(r#"{"to":15551234567}"#));
    assert!(found(r#"{"15551234567":null}"#));
    assert!(found(r#"{"inner":"{\"to\":\"+15551234567\"}"}"#));
    assert!(!found(r#"{"a":"1555","b":"1234567","c":[1555,1234567]}"#));
}
