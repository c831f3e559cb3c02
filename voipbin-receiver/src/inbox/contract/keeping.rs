//! What comes in: once, in order, and not before it is kept.

use std::collections::HashSet;

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::{Check, Trial, incoming};
use crate::event::EventKey;
use crate::inbox::{Inbox, Kept, Repeats};

impl<I: Inbox> Trial<I> {
    pub(super) async fn order(self) -> Check {
        for number in 0..100 {
            self.keep_new(&self.event(number)?, 1).await?;
        }
        let mut seen = Vec::new();
        while seen.len() < 100 {
            let taken = self.take(7).await?;
            self.expect(!taken.is_empty() && taken.len() <= 7, || {
                format!("asked for at most 7 jobs, took {}", taken.len())
            })?;
            seen.extend(taken.iter().map(|event| event.delivery().identity()));
        }
        let mut kept = Vec::new();
        for number in 0..100 {
            kept.push(self.event(number)?.identity());
        }
        self.expect(seen == kept, || "another order, or events twice".into())?;
        self.expect(self.inbox.take(1).now_or_never().is_none(), || {
            "more than was kept".into()
        })
    }

    pub(super) async fn copies(self) -> Check {
        let event = self.event(0)?;
        self.keep_new(&event, 1).await?;
        self.keep_known(&event).await?;
        let taken = self.take(1).await?;
        self.keep_known(&event).await?;
        self.settle(&taken);
        self.keep_known(&event).await?;
        let again = self.inbox.take(1).now_or_never();
        self.expect(again.is_none(), || "a copy was handed out".into())
    }

    pub(super) async fn copies_at_once(self) -> Check {
        let event = self.event(0)?;
        let copies = (0..100).map(|_| self.inbox.keep(incoming(&event, 1, Repeats::Drop)));
        let kept = self.patiently(join_all(copies)).await?;
        let new = kept
            .iter()
            .filter(|kept| matches!(kept, Ok(Kept::New)))
            .count();
        let known = kept
            .iter()
            .filter(|kept| matches!(kept, Ok(Kept::Duplicate)))
            .count();
        self.expect((new, known) == (1, 99), || {
            format!("{new} new and {known} known of 100")
        })
    }

    pub(super) async fn marks(self) -> Check {
        let event = self.event(0)?;
        for _ in 0..2 {
            let kept = self.keep(incoming(&event, 1, Repeats::Mark)).await?;
            self.expect(matches!(kept, Ok(Kept::New)), || {
                format!("{kept:?} and not new")
            })?;
        }
        let mut marks = Vec::new();
        while marks.len() < 2 {
            marks.extend(
                self.take(2)
                    .await?
                    .iter()
                    .map(|event| event.possible_repeat()),
            );
        }
        self.expect(marks == [false, true], || format!("marked as {marks:?}"))
    }

    pub(super) async fn nobody(self) -> Check {
        let event = self.event(0)?;
        self.keep_new(&event, 0).await?;
        self.keep_known(&event).await?;
        let taken = self.inbox.take(1).now_or_never();
        self.expect(taken.is_none(), || "it was handed out".into())?;
        let events = self.inbox.stats().events;
        self.expect(events == 0, || format!("{events} events are not finished"))
    }

    pub(super) async fn dropped_receipt(self) -> Check {
        let event = self.event(0)?;
        drop(self.inbox.keep(incoming(&event, 1, Repeats::Drop)));
        let taken = self.take(1).await?;
        self.expect(taken.len() == 1, || "it was not kept".into())?;
        self.keep_known(&event).await
    }

    pub(super) async fn dropped_take(self) -> Check {
        for _ in 0..3 {
            let taken = self.inbox.take(1).now_or_never();
            self.expect(taken.is_none(), || {
                "an empty inbox handed something out".into()
            })?;
        }
        self.keep_new(&self.event(0)?, 1).await?;
        self.expect(self.take(1).await?.len() == 1, || {
            "it was not handed out".into()
        })
    }

    pub(super) async fn woken(self) -> Check {
        let mut takes: Vec<_> = (0..3).map(|_| self.inbox.take(1)).collect();
        for take in &mut takes {
            let taken = take.now_or_never();
            self.expect(taken.is_none(), || {
                "an empty inbox handed something out".into()
            })?;
        }
        for number in 0..3 {
            self.keep_new(&self.event(number)?, 1).await?;
        }
        let taken = self.patiently(join_all(takes)).await?;
        let events: HashSet<EventKey> = taken
            .iter()
            .flatten()
            .map(|event| event.delivery().identity())
            .collect();
        self.expect(events.len() == 3, || {
            format!("{} of 3 were handed out", events.len())
        })
    }
}
