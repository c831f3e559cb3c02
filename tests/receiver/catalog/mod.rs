//! The catalogue as users see it.

mod fields;
mod reference;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use voipbin_receiver::Delivery;
use voipbin_receiver::catalog::{CATALOG, EventType, ResourceKind, Status};
use voipbin_receiver::testing::{delivery, event};

use self::reference::{counts, reference};

#[test]
fn the_catalogue_has_the_names_that_the_platform_and_its_documents_know() {
    let counts = counts();
    println!("{counts}");
    assert_eq!(
        (counts.names, counts.sent, counts.unreachable),
        (136, 93, 5)
    );
    assert_eq!(
        counts.sent + counts.aliases + counts.patterns + counts.unreachable + counts.not_sent,
        counts.names
    );
    assert_eq!(counts.resources, 32);
}

#[test]
fn names_and_variants_are_unique_and_survive_a_round_trip() {
    let names: BTreeSet<_> = CATALOG.iter().map(|entry| entry.name).collect();
    let variants: BTreeSet<_> = CATALOG.iter().map(|entry| entry.variant).collect();
    assert_eq!(
        (names.len(), variants.len()),
        (CATALOG.len(), CATALOG.len())
    );
    for entry in CATALOG {
        let event_type = EventType::parse(entry.name);
        assert!(!matches!(event_type, EventType::Other(_)), "{}", entry.name);
        assert_eq!(event_type.as_str(), entry.name);
        assert_eq!(event_type.resource(), entry.resource);
    }
    assert_eq!(EventType::parse("case_created").as_str(), "case_created");
}

#[test]
fn an_alias_is_canonically_a_name_that_is_sent_with_the_same_resource() {
    for entry in CATALOG {
        let event_type = EventType::parse(entry.name);
        let canonical = event_type.canonical();
        match entry.status {
            Status::AliasOf(name) => {
                assert_eq!(canonical.as_str(), name);
                let target = CATALOG.iter().find(|target| target.name == name).unwrap();
                assert_eq!(
                    (target.status, target.resource),
                    (Status::Sent, entry.resource)
                );
            }
            _ => assert_eq!(canonical, event_type),
        }
    }
}

#[test]
fn the_tutorials_names_reach_what_is_sent() {
    for (old, new) in [
        ("call_answered", "call_progressing"),
        ("call_hungup", "call_hangup"),
        ("call.completed", "call_hangup"),
        ("recording_created", "recording_started"),
        ("recording_updated", "recording_finished"),
        ("recording.completed", "recording_finished"),
        ("transcribe_updated", "transcribe_done"),
        ("transcribe.completed", "transcribe_done"),
        ("queuecall_kicking", "queuecall_connecting"),
        ("activeflow.deleted", "activeflow_deleted"),
    ] {
        assert_eq!(EventType::parse(old).canonical().as_str(), new);
    }
}

#[test]
fn every_resource_has_an_event_and_its_container_field() {
    for kind in ResourceKind::ALL {
        assert!(
            CATALOG.iter().any(|entry| entry.resource == Some(*kind)),
            "{kind:?}"
        );
        if let Some(container) = kind.container_field() {
            assert!(kind.fields().contains(&container), "{kind:?}");
        }
    }
}

#[test]
fn the_reference_holds_every_name_and_every_field() {
    let page = reference();
    for entry in CATALOG {
        assert!(page.contains(&format!("| `{}` | `{}` |", entry.name, entry.variant)));
    }
    for field in ResourceKind::ALL.iter().flat_map(|kind| kind.fields()) {
        assert!(page.contains(&format!("`{field}`")));
    }
}

/// `EVENTS=overwrite cargo test -p voipbin-receiver-tests --test receiver catalog` writes the page
/// anew.
#[test]
fn the_page_in_the_repository_is_what_the_catalogue_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../voipbin-receiver/EVENTS.md");
    if std::env::var_os("EVENTS").is_some_and(|mode| mode == "overwrite") {
        std::fs::write(path, reference()).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == reference(),
        "EVENTS.md is out of date"
    );
}

/// Of each kind, with all the fields that any of its bodies has.
#[test]
fn a_sample_has_the_fields_that_the_platform_always_writes_and_no_others() {
    let mut written: BTreeMap<&str, Vec<BTreeSet<String>>> = BTreeMap::new();
    for (path, body) in support::fixtures() {
        if path.contains("/today/") {
            let body = delivery(body).unwrap();
            let kind = body.resource_kind().unwrap().as_str();
            written.entry(kind).or_default().push(fields(&body));
        }
    }
    for entry in CATALOG.iter().filter(|entry| entry.status == Status::Sent) {
        let kind = entry.resource.unwrap().as_str();
        let sample = fields(&delivery(event(entry.name)).unwrap());
        let written = &written[kind];
        let any: BTreeSet<_> = written.iter().flatten().cloned().collect();
        let always = written[0].iter();
        let always = always.filter(|field| written.iter().all(|fields| fields.contains(*field)));
        let always: BTreeSet<_> = always.cloned().collect();
        assert!(sample.is_subset(&any), "{}: {sample:?}", entry.name);
        // One body alone does not tell what is in it always.
        assert!(
            written.len() < 2 || always.is_subset(&sample),
            "{}: {sample:?}",
            entry.name
        );
    }
}

fn fields(body: &Delivery) -> BTreeSet<String> {
    let data: serde_json::Map<String, Value> = serde_json::from_str(body.payload_json()).unwrap();
    data.keys().cloned().collect()
}
