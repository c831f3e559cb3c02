//! Stand-ins for VoIPBIN's API, which redirects to the archive of a recording, and for the storage,
//! which has it some time after the recording ended.

use std::collections::HashMap;
use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use zip::ZipWriter;
use zip::result::ZipResult;
use zip::write::SimpleFileOptions;

pub(crate) const ACCESS_KEY: &str = "vb_demonstration-access-key";

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    accesskey: String,
}

/// The API, with the address of its storage.
pub(crate) fn api(storage: String) -> Router {
    let redirect = move |Path(id): Path<String>, Query(credentials): Query<Credentials>| async move {
        if credentials.accesskey == ACCESS_KEY {
            let location = format!("{storage}/bucket/{id}.zip?X-Signature=of-the-storage");
            (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)]).into_response()
        } else {
            StatusCode::UNAUTHORIZED.into_response()
        }
    };
    Router::new().route("/v1.0/recordingfiles/{id}", get(redirect))
}

/// The storage of the archives.
#[derive(Clone, Default)]
pub(crate) struct Storage(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    /// At which request the files of a recording are there; never, of one that is missing here.
    complete_at: HashMap<String, u32>,
    requests: HashMap<String, u32>,
    saw_access_key: bool,
}

impl Storage {
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/bucket/{file}", get(download))
            .with_state(self.clone())
    }

    /// From this request on, the archive has files.
    pub(crate) fn complete_at(&self, recording: &str, request: u32) {
        self.with(|stored| stored.complete_at.insert(recording.to_owned(), request));
    }

    pub(crate) fn requests(&self, recording: &str) -> u32 {
        self.with(|stored| stored.requests.get(recording).copied().unwrap_or_default())
    }

    pub(crate) fn saw_access_key(&self) -> bool {
        self.with(|stored| stored.saw_access_key)
    }

    fn with<T>(&self, run: impl FnOnce(&mut Stored) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn download(
    State(storage): State<Storage>,
    Path(file): Path<String>,
    request: Request,
) -> Response {
    let recording = file.trim_end_matches(".zip");
    let head = format!("{} {:?}", request.uri(), request.headers());
    let complete = storage.with(|stored| {
        stored.saw_access_key |= head.contains(ACCESS_KEY);
        let requests = stored.requests.entry(recording.to_owned()).or_default();
        *requests += 1;
        let complete_at = stored.complete_at.get(recording);
        complete_at.is_some_and(|complete_at| *requests >= *complete_at)
    });
    match archive(recording, complete) {
        Ok(archive) => ([(CONTENT_TYPE, "application/zip")], archive).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn archive(recording: &str, complete: bool) -> ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    if complete {
        for side in ["in", "out"] {
            archive.start_file(
                format!("call_{recording}_{side}.wav"),
                SimpleFileOptions::default(),
            )?;
            archive.write_all(b"RIFF\x04\0\0\0WAVE")?;
        }
    }
    Ok(archive.finish()?.into_inner())
}
