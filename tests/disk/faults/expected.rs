//! What an inbox must hold after a power cut, by what its process said before it.

use std::collections::HashMap;

use support::life::{End, Mark};

/// What is known of all events.
#[derive(Clone, Default)]
pub(crate) struct Expected {
    pub(crate) events: HashMap<u64, Event>,
    /// Events whose outcome the inbox had been told of when the flush that runs began.
    flushing: Vec<(u64, End)>,
    /// How often one was refused.
    pub(crate) refused: usize,
}

/// What is known of an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Event {
    /// It was acknowledged.
    pub(crate) kept: bool,
    /// So many attempts had begun, at least.
    pub(crate) attempts: u32,
    /// Perhaps it is over so.
    pub(crate) may_be: Option<End>,
    /// The inbox was told so.
    told: Option<End>,
    /// It is over so, and that was stored.
    pub(crate) is: Option<End>,
    /// It was about to be replayed or discarded: nothing is sure.
    pub(crate) unsure: bool,
    /// All that was said of it.
    said: Vec<Mark>,
}

impl Expected {
    pub(crate) fn add(&mut self, mark: Mark) {
        if let Some(event) = mark.event() {
            self.event(event).said.push(mark);
        }
        match mark {
            Mark::Kept(event) => self.event(event).kept = true,
            Mark::Begun(event, attempt) => {
                let event = self.event(event);
                assert!(
                    attempt > event.attempts || event.unsure,
                    "attempt {attempt} came again: {event:?}"
                );
                event.attempts = attempt;
                event.may_be = None;
            }
            Mark::Settle(event, end) => {
                let event = self.event(event);
                match end {
                    End::Done | End::Dead => event.may_be = Some(end),
                    End::Released => event.attempts -= 1,
                    End::Retry => {}
                }
            }
            Mark::Settled(event) => {
                let event = self.event(event);
                event.told = event.may_be;
            }
            Mark::Flush => {
                let told = self.events.iter();
                self.flushing = told
                    .filter_map(|(number, event)| Some((*number, event.told?)))
                    .collect();
            }
            Mark::Flushed => {
                for (event, end) in std::mem::take(&mut self.flushing) {
                    let event = self.event(event);
                    // It may have been replayed meanwhile.
                    if event.told.is_some() {
                        event.is = Some(end);
                    }
                }
            }
            Mark::Closed => {
                self.add(Mark::Flush);
                self.add(Mark::Flushed);
            }
            Mark::Discard(event) => self.event(event).unsure = true,
            Mark::Replay(event) => {
                self.flushing.retain(|(number, _)| *number != event);
                let event = self.event(event);
                *event = Event {
                    kept: true,
                    unsure: true,
                    said: std::mem::take(&mut event.said),
                    ..Event::default()
                };
            }
            Mark::Replayed(event) => self.event(event).unsure = false,
            // What the one before was told and had not stored may be forgotten.
            Mark::Opened => {
                self.flushing.clear();
                for event in self.events.values_mut() {
                    event.told = event.is;
                }
            }
            Mark::Refused(_) => self.refused += 1,
            Mark::Keep(_) | Mark::Kill | Mark::Release => {}
        }
    }

    fn event(&mut self, number: u64) -> &mut Event {
        self.events.entry(number).or_default()
    }
}
