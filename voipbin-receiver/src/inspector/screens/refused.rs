//! The deliveries that were refused last, and why.

use std::collections::BTreeMap;

use askama::Template;

use super::text::When;
use super::{Answer, Call, page};
use crate::inspector::access::Reader;
use crate::inspector::journal::{REFUSALS, Rejected};
use crate::inspector::mask::Mask;
use crate::observe::RefusalReason;

#[derive(Template)]
#[template(path = "inspector/refused.html")]
struct RefusedPage {
    root: &'static str,
    most: usize,
    reason: Option<&'static str>,
    /// Each reason that there was, and how often.
    reasons: Vec<(&'static str, usize)>,
    rows: Vec<RefusedRow>,
}

struct RefusedRow {
    at: When,
    origin: &'static str,
    client: Option<String>,
    reason: &'static str,
    status: u16,
    told: String,
    diagnosis: Option<(&'static str, String)>,
}

pub(super) async fn refused(Call { site, request, .. }: Call<Reader>) -> Answer {
    let now = site.now();
    let refusals = site.journal.refusals();
    let mut reasons = BTreeMap::<&'static str, usize>::new();
    for refusal in &refusals {
        *reasons.entry(refusal.reason.as_str()).or_default() += 1;
    }
    let reason = request.reason();
    let rows = refusals
        .iter()
        .filter(|refusal| reason.is_none_or(|reason| refusal.reason == reason))
        .map(|refusal| RefusedRow::new(refusal, now));
    let shown = RefusedPage {
        root: request.root,
        most: REFUSALS,
        reason: reason.map(RefusalReason::as_str),
        reasons: reasons.into_iter().collect(),
        rows: rows.collect(),
    };
    page(&site, &request, "Refused", &shown)
}

impl RefusedRow {
    fn new(refusal: &Rejected, now: std::time::SystemTime) -> Self {
        Self {
            at: When::new(refusal.at, now),
            origin: refusal.origin.as_str(),
            client: refusal.client.map(|client| Mask::on().address(client)),
            reason: refusal.reason.as_str(),
            status: refusal.reason.row().status.as_u16(),
            told: refusal.told.clone(),
            diagnosis: refusal.diagnosis.clone(),
        }
    }
}
