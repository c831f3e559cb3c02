//! Stand-ins: for what sends notes to people, and for what goes wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use voipbin_receiver::HandlerError;

/// Takes each key once, and refuses the first note that it is sent.
#[derive(Clone, Default)]
pub(crate) struct Team(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    taken: BTreeMap<String, String>,
    was_away: bool,
}

impl Team {
    pub(crate) async fn send(&self, key: &str, note: &str) -> Result<(), HandlerError> {
        let mut notes = self.notes();
        if !std::mem::replace(&mut notes.was_away, true) {
            return Err(HandlerError::new("nobody takes notes now"));
        }
        notes.taken.insert(key.to_owned(), note.to_owned());
        Ok(())
    }

    pub(crate) fn count(&self) -> usize {
        self.notes().taken.len()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fails once, where a handler has written and not returned.
#[derive(Clone, Default)]
pub(crate) struct Trouble(Arc<AtomicBool>);

impl Trouble {
    pub(crate) fn strikes(&self) -> Result<(), HandlerError> {
        match self.0.swap(true, Ordering::Relaxed) {
            false => Err(HandlerError::new("something is wrong after the writes")),
            true => Ok(()),
        }
    }
}
