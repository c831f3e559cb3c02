//! The last change, from one run of the program to the next.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use voipbin_receiver::platform::{Change, Target};

/// The last change.
#[derive(Serialize, Deserialize)]
struct SavedChange {
    api: String,
    customer_id: String,
    before: SavedTarget,
    after: SavedTarget,
}

#[derive(Serialize, Deserialize)]
struct SavedTarget {
    uri: String,
    method: String,
}

impl SavedTarget {
    fn of(target: &Target) -> Self {
        Self {
            uri: target.uri().to_owned(),
            method: target.method().to_owned(),
        }
    }

    fn target(self) -> Target {
        Target::new(self.uri, self.method)
    }
}

/// Saves a change. The file is the old one or the new one, whatever happens, and its owner's alone.
pub(super) fn save(file: &Path, api: &str, change: &Change) -> Result<(), String> {
    let saved = SavedChange {
        api: api.to_owned(),
        customer_id: change.customer_id().to_owned(),
        before: SavedTarget::of(change.before()),
        after: SavedTarget::of(change.after()),
    };
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let write = || {
        // 0600, as tempfile makes them.
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut new, &saved)?;
        new.write_all(b"\n")?;
        new.as_file().sync_all()?;
        new.persist(file)?;
        Ok::<(), std::io::Error>(())
    };
    write().map_err(|error| {
        format!(
            "the change is made, and cannot be saved for undo in {}: {error}",
            file.display()
        )
    })
}

/// The change that was saved last.
pub(super) fn load(file: &Path, api: &str) -> Result<Change, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("there is nothing to undo in {}: {error}", file.display()))?;
    let saved: SavedChange = serde_json::from_str(&text)
        .map_err(|_| format!("{} is no file of this program", file.display()))?;
    if saved.api != api {
        return Err(format!(
            "{} holds a change of another platform: give --api",
            file.display()
        ));
    }
    Ok(Change::new(
        saved.customer_id,
        saved.before.target(),
        saved.after.target(),
    ))
}
