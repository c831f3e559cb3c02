//! What changes an event: to have it handled again, or to give it up.

use super::{Answer, Call, Problem};
use crate::event::{Origin, RecordId};
use crate::inspector::access::Actor;
use crate::inspector::response::PageResponse;
use crate::observe::Accepted;

/// By those for which it is a dead letter or, if it never was one, by all of its handlers.
pub(super) async fn retry(call: Call<Actor>, id: RecordId) -> Answer {
    let Call {
        site,
        request,
        permit,
    } = call;
    let records = site.records_to_change(&permit).ok_or(Problem::NotFound)?;
    let replay = records.replay(id, None).await?;
    site.acted(&permit, "retry", Some(id));
    // An inbox in memory lists dead letters alone.
    let place = match records.get(replay).await? {
        Some(_) => format!("events/{replay}"),
        None => "dead".to_owned(),
    };
    Ok(PageResponse::see_other(format!("{}{place}", request.root)))
}

pub(super) async fn discard(call: Call<Actor>, id: RecordId) -> Answer {
    let Call {
        site,
        request,
        permit,
    } = call;
    let records = site.records_to_change(&permit).ok_or(Problem::NotFound)?;
    if records.discard(&[id]).await? == 0 {
        return Err(Problem::NotFound);
    }
    site.acted(&permit, "discard", Some(id));
    Ok(PageResponse::see_other(format!("{}events", request.root)))
}

/// As a delivery of its own, whose origin says for ever that somebody has made it.
pub(super) async fn edit(call: Call<Actor>, id: RecordId) -> Answer {
    let Call {
        site,
        request,
        permit,
    } = call;
    let records = site.records_to_change(&permit).ok_or(Problem::NotFound)?;
    records.get(id).await?.ok_or(Problem::NotFound)?;
    let body = request.form("body").unwrap_or_default().to_owned();
    let accepted = site.receiver.accept(body, Origin::Edited).await;
    let accepted = accepted.map_err(|error| match error.is_transient() {
        true => Problem::Busy("The inbox cannot keep it now."),
        false => Problem::Bad(error.to_string()),
    });
    match accepted? {
        Accepted::New => {
            site.acted(&permit, "edit", Some(id));
            Ok(PageResponse::see_other(format!("{}events", request.root)))
        }
        Accepted::Duplicate => Err(Problem::Conflict(
            "An event with this very body has come before: it is not handled once more.",
        )),
        Accepted::Unmatched => Err(Problem::Conflict("No handler is registered for its type.")),
    }
}
