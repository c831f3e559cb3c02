//! What was there, from one run of the program to the next.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use voipbin_receiver::platform::{Change, Target};

/// The last change.
#[derive(Serialize, Deserialize)]
struct Kept {
    api: String,
    customer_id: String,
    before: Place,
    after: Place,
}

#[derive(Serialize, Deserialize)]
struct Place {
    uri: String,
    method: String,
}

impl Place {
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

/// Keeps a change. The file is the old one or the new one, whatever happens, and its owner's alone.
pub(super) fn keep(file: &Path, api: &str, change: &Change) -> Result<(), String> {
    let kept = Kept {
        api: api.to_owned(),
        customer_id: change.customer_id().to_owned(),
        before: Place::of(change.before()),
        after: Place::of(change.after()),
    };
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let write = || {
        // 0600, as tempfile makes them.
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut new, &kept)?;
        new.write_all(b"\n")?;
        new.as_file().sync_all()?;
        new.persist(file)?;
        Ok::<(), std::io::Error>(())
    };
    write().map_err(|error| {
        format!(
            "the change is made, and cannot be kept for undo in {}: {error}",
            file.display()
        )
    })
}

/// The change that was kept last.
pub(super) fn kept(file: &Path, api: &str) -> Result<Change, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("there is nothing to undo in {}: {error}", file.display()))?;
    let kept: Kept = serde_json::from_str(&text)
        .map_err(|_| format!("{} is no file of this program", file.display()))?;
    if kept.api != api {
        return Err(format!(
            "{} keeps a change of another platform: give --api",
            file.display()
        ));
    }
    Ok(Change::new(
        kept.customer_id,
        kept.before.target(),
        kept.after.target(),
    ))
}
