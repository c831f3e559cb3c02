use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, HandlerError, State, on};

/// The calls that have ended, by their ids.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<BTreeMap<String, EndedCall>>>);

/// One of them, as people get to see it.
#[derive(Clone, Serialize)]
pub(crate) struct EndedCall {
    id: String,
    reason: Option<String>,
    talked_seconds: Option<u64>,
    note: Option<String>,
}

impl Calls {
    pub(crate) fn list(&self) -> Vec<EndedCall> {
        self.lock().values().cloned().collect()
    }

    /// Writes a note to a call; `false` when there is no such call.
    pub(crate) fn note(&self, id: &str, note: String) -> bool {
        let mut calls = self.lock();
        let call = calls.get_mut(id);
        let found = call.is_some();
        if let Some(call) = call {
            call.note = Some(note);
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, EndedCall>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows a call that has ended. Once more does no harm: it stays one call.
#[on(CallHangup)]
pub(crate) async fn show(call: Event<Call>, State(calls): State<Calls>) {
    if let Some(id) = call.id.as_deref() {
        let ended = EndedCall {
            id: id.to_owned(),
            reason: call
                .hangup_reason
                .as_ref()
                .map(|reason| reason.as_str().to_owned()),
            talked_seconds: call.duration().map(|talked| talked.as_secs()),
            note: None,
        };
        calls.lock().entry(id.to_owned()).or_insert(ended);
    }
}

/// Whom else to tell that a call has ended.
#[derive(Clone)]
pub(crate) struct Notifier {
    url: Option<String>,
    client: reqwest::Client,
}

impl Notifier {
    pub(crate) fn new(url: Option<String>) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self { url, client })
    }
}

/// Tells another service the id of a call that has ended. While that service hangs this handler
/// does, and while it fails this handler is tried again: neither VoIPBIN nor `show` has to wait.
#[on(CallHangup)]
pub(crate) async fn tell(
    call: Event<Call>,
    State(notifier): State<Notifier>,
) -> Result<(), HandlerError> {
    if let Some(url) = &notifier.url {
        let id = call.id.as_deref().unwrap_or_default().to_owned();
        let told = notifier.client.post(url).body(id).send().await;
        told.and_then(reqwest::Response::error_for_status)
            .map_err(reqwest::Error::without_url)?;
    }
    Ok(())
}
