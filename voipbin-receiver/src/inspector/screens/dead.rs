//! Dead letters, by their handler and what went wrong.

use std::collections::BTreeMap;

use askama::Template;

use super::bulk::{StatusRow, status};
use super::text::When;
use super::{Answer, Call, page};
use crate::event::HandlerName;
use crate::inbox::{AttemptEnd, RecordFilter, RecordState, Stage};
use crate::inspector::access::{Actor, Reader, Reads, Revealer};
use crate::inspector::filter::Filter;
use crate::inspector::mask::Mask;

/// How many events are looked at, the latest.
const MOST: usize = 2000;

/// How many of them at once: with their bodies.
const AT_ONCE: usize = 100;

/// How many kinds of error are shown of them; a text may differ each time.
const KINDS: usize = 200;

#[derive(Template)]
#[template(path = "inspector/dead.html")]
struct DeadPage {
    root: &'static str,
    can_list: bool,
    groups: Vec<Group>,
    looked_at: usize,
    /// Whether there are more, or more kinds.
    is_part: bool,
    is_revealed: bool,
    may_reveal: bool,
    may_act: bool,
    status: Option<StatusRow>,
    dropped: u64,
}

/// Dead letters that are alike.
struct Group {
    handler: String,
    error: String,
    count: usize,
    latest: When,
    /// The latest one.
    example: u64,
    /// A query for all of them.
    all: String,
}

pub(super) async fn dead(call: Call<Reader>) -> Answer {
    show(call, None).await
}

pub(super) async fn dead_revealed(call: Call<Revealer>) -> Answer {
    let mask = call.site.reveal(&call.permit, None);
    show(call, Some(mask)).await
}

async fn show<R: Reads>(call: Call<R>, mask: Option<Mask>) -> Answer {
    let Call {
        site,
        request,
        permit,
    } = call;
    let now = site.now();
    let records = site.records(&permit);
    let dead = RecordFilter::new().state(RecordState::Dead);
    let mut groups = BTreeMap::<(HandlerName, String), Group>::new();
    let (mut before, mut looked_at, mut is_part) = (None, 0, false);
    while let Some(records) = records {
        let page = records.latest(&dead, before, AT_ONCE).await?;
        looked_at += page.records.len();
        for record in &page.records {
            let jobs = record.jobs.iter();
            for (job, at) in jobs.filter_map(|job| match job.stage {
                Stage::Dead { at } => Some((job, at)),
                _ => None,
            }) {
                let last = job.history.last().map(|last| &last.ended);
                let error = kind(last, mask);
                let key = (job.handler.clone(), error);
                if groups.len() >= KINDS && !groups.contains_key(&key) {
                    is_part = true;
                    continue;
                }
                let group = groups
                    .entry(key)
                    .or_insert_with_key(|(handler, error)| Group {
                        handler: handler.as_str().to_owned(),
                        error: error.clone(),
                        count: 0,
                        latest: When::new(at, now),
                        example: record.id.get(),
                        all: Filter::of_state(RecordState::Dead)
                            .for_handler(handler)
                            .with_error(last, mask.is_some())
                            .query(None),
                    });
                group.count += 1;
            }
        }
        before = page.next;
        is_part |= before.is_some() && looked_at >= MOST;
        if before.is_none() || looked_at >= MOST {
            break;
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    let shown = DeadPage {
        root: request.root,
        can_list: records.is_some(),
        groups,
        looked_at,
        is_part,
        is_revealed: mask.is_some(),
        may_reveal: request.access.permit::<Revealer>().is_some(),
        may_act: request.access.permit::<Actor>().is_some(),
        status: status(&site, Mask::on()).await?,
        dropped: site.receiver.stats().inbox.dead_dropped,
    };
    page(&site, &request, "Dead letters", &shown)
}

/// The kind of error, or its text for those who may see it.
fn kind(ended: Option<&AttemptEnd>, mask: Option<Mask>) -> String {
    match (ended, mask) {
        (None, _) => "no attempt is known".to_owned(),
        (Some(ended), Some(mask)) => mask.ended(ended).to_string(),
        (Some(AttemptEnd::Failed(_)), None) => "an error of the handler".to_owned(),
        (Some(ended), None) => ended.to_string(),
    }
}
