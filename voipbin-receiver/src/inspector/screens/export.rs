//! The events that a filter takes, as JSON lines.

use bytes::Bytes;
use futures_util::stream;

use super::{Answer, Call, Problem};
use crate::event::RecordId;
use crate::inbox::RecordFilter;
use crate::inspector::access::Revealer;
use crate::inspector::filter::Filter;
use crate::inspector::response::PageResponse;
use crate::receiver::Receiver;

/// How many events are read at once, with their bodies.
const PAGE: usize = 100;

/// The last line where the receiver is shut down meanwhile.
const SHUTTING_DOWN: &[u8] = b"{\"error\":\"the receiver is shutting down\"}\n";

pub(super) async fn export(call: Call<Revealer>) -> Answer {
    let Call {
        site,
        request,
        permit,
    } = call;
    let filter = request.query("q").unwrap_or_default().parse::<Filter>();
    let filter = filter.map_err(|error| Problem::Bad(error.to_string()))?;
    let filter = filter.all_records(site.now(), &permit);
    site.receiver.records().ok_or(Problem::NotFound)?;
    site.told(&permit, "export");
    let from = Some((site.receiver.clone(), None));
    let lines = stream::unfold(from, move |from| {
        let filter = filter.clone();
        async move {
            let (receiver, after) = from?;
            if receiver.is_ending() {
                return Some((Bytes::from_static(SHUTTING_DOWN), None));
            }
            let (lines, next) = page(&receiver, &filter, after).await;
            Some((lines, next.map(|next| (receiver, Some(next)))))
        }
    });
    let reply = PageResponse::stream("application/jsonl", Box::pin(lines));
    Ok(reply.attachment("events.jsonl"))
}

/// Some of the lines, and where to go on. What cannot be read is told in the last line.
async fn page(
    receiver: &Receiver,
    filter: &RecordFilter,
    after: Option<RecordId>,
) -> (Bytes, Option<RecordId>) {
    let Some(records) = receiver.records() else {
        return (Bytes::new(), None);
    };
    match records.list(filter, after, PAGE).await {
        Ok(page) => {
            let mut lines = Vec::new();
            for record in &page.records {
                // A record can always be written.
                if serde_json::to_writer(&mut lines, record).is_ok() {
                    lines.push(b'\n');
                }
            }
            (lines.into(), page.next)
        }
        Err(error) => {
            let told = serde_json::json!({ "error": error.to_string() });
            (format!("{told}\n").into(), None)
        }
    }
}
