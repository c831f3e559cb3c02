//! The least that an inbox on disk can do: append to a file, with one sync for all that wait.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use voipbin_receiver::inbox::{Incoming, KeepError, Kept, Reply, ReplySender};

/// It keeps no index, knows no copies and gives nothing back.
pub(crate) struct Appended(Arc<Queue>);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    new: Vec<New>,
    idle: bool,
    over: bool,
}

type New = (Incoming, ReplySender<Kept, KeepError>);

impl Appended {
    pub(crate) fn create(path: &Path) -> Self {
        let file = File::create_new(path).unwrap();
        let queue = Arc::<Queue>::default();
        let held = Arc::clone(&queue);
        std::thread::spawn(move || held.write(file));
        Self(queue)
    }

    pub(crate) fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        let (sender, reply) = Reply::pending();
        let mut waiting = self.0.waiting.lock().unwrap();
        waiting.new.push((incoming, sender));
        let idle = std::mem::take(&mut waiting.idle);
        drop(waiting);
        if idle {
            self.0.wake.notify_one();
        }
        reply
    }
}

impl Drop for Appended {
    fn drop(&mut self) {
        self.0.waiting.lock().unwrap().over = true;
        self.0.wake.notify_one();
    }
}

impl Queue {
    fn next(&self) -> Option<Vec<New>> {
        let mut waiting = self.waiting.lock().unwrap();
        while waiting.new.is_empty() {
            if waiting.over {
                return None;
            }
            waiting.idle = true;
            waiting = self.wake.wait(waiting).unwrap();
            waiting.idle = false;
        }
        Some(std::mem::take(&mut waiting.new))
    }

    fn write(&self, mut file: File) {
        let mut bytes = Vec::new();
        while let Some(new) = self.next() {
            bytes.clear();
            for (incoming, _) in &new {
                let body = incoming.delivery.body();
                bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
                bytes.extend_from_slice(incoming.delivery.identity().as_bytes());
                bytes.extend_from_slice(body);
            }
            file.write_all(&bytes).unwrap();
            file.sync_data().unwrap();
            for (_, sender) in new {
                sender.send(Ok(Kept::New));
            }
        }
    }
}
