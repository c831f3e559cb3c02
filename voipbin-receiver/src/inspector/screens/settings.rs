//! What runs here, and by which settings. Of secrets the labels alone.

use askama::Template;

use super::text::{When, span};
use super::{Answer, Call, page};
use crate::inbox::{Durability, LaneOrder};
use crate::inspector::access::Reader;
use crate::inspector::site::Setting;

#[derive(Template)]
#[template(path = "inspector/settings.html")]
struct SettingsPage<'a> {
    facts: Vec<(&'static str, String)>,
    secrets: Vec<SecretRow>,
    settings: &'a [Setting],
}

struct SecretRow {
    label: String,
    accepted: u64,
    last_used: Option<When>,
}

pub(super) async fn settings(Call { site, request, .. }: Call<Reader>) -> Answer {
    let guarantees = site.receiver.dispatch().inbox.guarantees();
    let survives = match guarantees.durability {
        Durability::Process => "a clean shutdown",
        Durability::Machine => "kill -9 and a power cut",
        Durability::Cluster => "the loss of a machine",
    };
    let order = match guarantees.order {
        LaneOrder::Process => "in this process",
        LaneOrder::Cluster => "across all processes",
    };
    let known = guarantees.identity_ttl.map_or("no copies".to_owned(), span);
    let facts = vec![
        ("voipbin-receiver", env!("CARGO_PKG_VERSION").to_owned()),
        (
            "an event that was answered 200 survives",
            survives.to_owned(),
        ),
        ("a lane holds", order.to_owned()),
        ("copies are known for", known),
        ("runs at once", site.receiver.stats().slots.to_string()),
    ];
    let secrets = site.receiver.secrets().usage().into_iter();
    let now = site.now();
    let shown = SettingsPage {
        facts,
        secrets: secrets
            .map(|usage| SecretRow {
                label: usage.label.to_string(),
                accepted: usage.accepted,
                last_used: usage.last_used.map(|at| When::new(at, now)),
            })
            .collect(),
        settings: &site.settings,
    };
    page(&site, &request, "Settings", &shown)
}
