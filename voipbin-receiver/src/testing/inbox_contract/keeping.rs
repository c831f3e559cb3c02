//! What comes in: once, in order, and not before it is kept.

use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::join_all;

use super::{Check, Fixture, Violation, incoming};
use crate::event::{Origin, Proof, TraceContext};
use crate::inbox::{Inbox, Kept, Lane, Prefetch, Repeats, StoredDelivery};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

impl<I: Inbox> Fixture<I> {
    pub(super) async fn order(self) -> Check {
        let mut kept = Vec::new();
        for number in 0..100 {
            let event = self.event(number)?;
            self.keep_new(&event, 1).await?;
            kept.push(event.identity());
        }
        let mut seen = Vec::new();
        while seen.len() < 100 {
            let taken = self.take(7).await?;
            self.expect(!taken.is_empty() && taken.len() <= 7, || {
                format!("asked for at most 7 jobs, took {}", taken.len())
            })?;
            seen.extend(taken.iter().map(|event| event.delivery().identity()));
        }
        self.expect(seen == kept, || "another order, or events twice".into())?;
        self.has_none("more than was kept")
    }

    pub(super) async fn room(self) -> Check {
        let size = self.event(0)?.body().len();
        for number in 0..4 {
            self.keep_new(&self.event(number)?, 1).await?;
        }
        for (bytes, most) in [(1, 1), (2 * size, 2)] {
            let room = Prefetch { jobs: 10, bytes };
            let taken = self.patiently(self.consumer.take(room)).await?;
            let count = taken.map_or(0, |taken| taken.len());
            self.expect((1..=most).contains(&count), || {
                format!("{count} jobs of {size} bytes for {bytes} bytes of room")
            })?;
        }
        Ok(())
    }

    pub(super) async fn lanes(self) -> Check {
        let lanes = [Some(Lane::of("a")), None, Some(Lane::of("b"))];
        for (number, lane) in (0..).zip(lanes) {
            let event = self.event(number)?;
            let incoming = incoming(&event, 1, Repeats::Drop).in_lane(lane);
            self.keep_as_new(incoming).await?;
        }
        let jobs = self.take_all(3).await?;
        let found: Vec<_> = jobs.iter().map(|job| job.event().lane()).collect();
        self.expect(found == lanes, || {
            format!("kept with {lanes:?}, taken with {found:?}")
        })
    }

    /// What a delivery is beside its body.
    pub(super) async fn deliveries(self) -> Check {
        let mut kept = Vec::new();
        for (number, origin) in (0..).zip(Origin::ALL) {
            let mut stored = StoredDelivery::of(&self.event(number)?);
            // Such as milliseconds can tell.
            stored.received_at = UNIX_EPOCH + Duration::from_millis(1_800_000_000_123);
            stored.origin = *origin;
            if *origin == Origin::History {
                (stored.proof, stored.content_type) = (Proof::Unsigned, Some("text/json".into()));
                stored.trace_context = TraceContext::new(TRACEPARENT, "vendor=value");
            }
            let delivery = stored.clone().restore().map_err(|error| Violation {
                check: self.check,
                found: error.to_string(),
            })?;
            self.keep_new(&delivery, 1).await?;
            kept.push(stored);
        }
        let jobs = self.take_all(kept.len()).await?;
        for (stored, job) in kept.iter().zip(&jobs) {
            let found = StoredDelivery::of(job.delivery());
            self.expect(found == *stored, || format!("{stored:?} came as {found:?}"))?;
        }
        Ok(())
    }

    pub(super) async fn copies(self) -> Check {
        if !self.knows_copies() {
            return Ok(());
        }
        let event = self.event(0)?;
        self.keep_new(&event, 1).await?;
        self.keep_known(&event).await?;
        let taken = self.take(1).await?;
        self.keep_known(&event).await?;
        self.settle(&taken);
        self.keep_known(&event).await?;
        self.has_none("a copy was handed out")
    }

    pub(super) async fn copies_at_once(self) -> Check {
        if !self.knows_copies() {
            return Ok(());
        }
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
        if !self.knows_copies() {
            return Ok(());
        }
        let event = self.event(0)?;
        for _ in 0..2 {
            let kept = self.keep(incoming(&event, 1, Repeats::Mark)).await?;
            self.expect(matches!(kept, Ok(Kept::New)), || {
                format!("{kept:?} and not new")
            })?;
        }
        let jobs = self.take_all(2).await?;
        let marks: Vec<bool> = jobs.iter().map(|job| job.possible_repeat()).collect();
        self.expect(marks == [false, true], || format!("marked as {marks:?}"))
    }

    pub(super) async fn nobody(self) -> Check {
        let event = self.event(0)?;
        self.keep_new(&event, 0).await?;
        self.keep_known(&event).await?;
        self.has_none("it was handed out")?;
        let events = self.inbox.stats().events;
        self.expect(events == 0, || format!("{events} events are not finished"))
    }

    pub(super) async fn dropped_reply(self) -> Check {
        let event = self.event(0)?;
        drop(self.inbox.keep(incoming(&event, 1, Repeats::Drop)));
        let taken = self.take(1).await?;
        self.expect(taken.len() == 1, || "it was not kept".into())?;
        self.keep_known(&event).await
    }

    pub(super) async fn dropped_take(self) -> Check {
        for _ in 0..3 {
            self.has_none("an empty inbox handed something out")?;
        }
        self.keep_new(&self.event(0)?, 1).await?;
        self.expect(self.take(1).await?.len() == 1, || {
            "it was not handed out".into()
        })
    }

    pub(super) async fn woken(self) -> Check {
        for number in 0..3 {
            let mut take = self.consumer.take(Prefetch::for_jobs(1));
            let taken = futures_util::poll!(&mut take);
            self.expect(taken.is_pending(), || {
                "an empty inbox handed something out".into()
            })?;
            self.keep_new(&self.event(number)?, 1).await?;
            let taken = self.patiently(take).await?;
            let count = taken.map_or(0, |taken| taken.len());
            self.expect(count == 1, || format!("{count} jobs of one that was kept"))?;
        }
        Ok(())
    }
}
