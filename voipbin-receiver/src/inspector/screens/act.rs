//! What changes an event: to have it handled again, or to give it up.

use super::{Endpoint, Problem};
use crate::event::{Origin, RecordId};
use crate::inspector::access::{Actor, Permit};
use crate::inspector::request::Request;
use crate::inspector::response::PageResponse;
use crate::inspector::site::Site;
use crate::observe::Accepted;

pub(super) struct Retry(pub(super) RecordId);
pub(super) struct Discard(pub(super) RecordId);
pub(super) struct Edit(pub(super) RecordId);

/// By those for which it is a dead letter or, if it never was one, by all of its handlers.
impl Endpoint for Retry {
    type Needs = Actor;

    async fn answer(
        self,
        site: &Site,
        asked: &Request,
        permit: Permit<Actor>,
    ) -> Result<PageResponse, Problem> {
        let records = site.records_to_change(&permit).ok_or(Problem::NotFound)?;
        let replay = records.replay(self.0, None).await?;
        site.acted(&permit, "retry", Some(self.0));
        // An inbox in memory lists dead letters alone.
        let place = match records.get(replay).await? {
            Some(_) => format!("events/{replay}"),
            None => "dead".to_owned(),
        };
        Ok(PageResponse::see_other(format!("{}{place}", asked.root)))
    }
}

impl Endpoint for Discard {
    type Needs = Actor;

    async fn answer(
        self,
        site: &Site,
        asked: &Request,
        permit: Permit<Actor>,
    ) -> Result<PageResponse, Problem> {
        let records = site.records_to_change(&permit).ok_or(Problem::NotFound)?;
        if records.discard(&[self.0]).await? == 0 {
            return Err(Problem::NotFound);
        }
        site.acted(&permit, "discard", Some(self.0));
        Ok(PageResponse::see_other(format!("{}events", asked.root)))
    }
}

/// As a delivery of its own, whose origin says for ever that somebody has made it.
impl Endpoint for Edit {
    type Needs = Actor;

    async fn answer(
        self,
        site: &Site,
        asked: &Request,
        permit: Permit<Actor>,
    ) -> Result<PageResponse, Problem> {
        let records = site.records_to_change(&permit).ok_or(Problem::NotFound)?;
        records.get(self.0).await?.ok_or(Problem::NotFound)?;
        let body = asked.form("body").unwrap_or_default().to_owned();
        let accepted = site.receiver.accept(body, Origin::Edited).await;
        let accepted = accepted.map_err(|error| match error.is_transient() {
            true => Problem::Busy("The inbox cannot keep it now."),
            false => Problem::Bad(error.to_string()),
        });
        match accepted? {
            Accepted::New => {
                site.acted(&permit, "edit", Some(self.0));
                Ok(PageResponse::see_other(format!("{}events", asked.root)))
            }
            Accepted::Duplicate => Err(Problem::Conflict(
                "An event with this very body has come before: it is not handled once more.",
            )),
            Accepted::Unmatched => Err(Problem::Conflict("No handler is registered for its type.")),
        }
    }
}
