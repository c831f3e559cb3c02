use std::sync::Arc;

use serde::Serialize;
use tokio::io::{AsyncWriteExt, Stdout};
use tokio::sync::Mutex;
use voipbin_receiver::catalog::EventType;
use voipbin_receiver::inbox::RecordId;
use voipbin_receiver::{Context, Delivery, HandlerError, State, on};

use crate::terminal::json;

/// Standard output, one line at a time.
#[derive(Clone)]
pub(crate) struct Printer(Option<Arc<Mutex<Stdout>>>);

impl Printer {
    pub(crate) fn new(quiet: bool) -> Self {
        Self((!quiet).then(|| Arc::new(Mutex::new(tokio::io::stdout()))))
    }

    async fn print(&self, context: &Context) -> std::io::Result<()> {
        let Some(stdout) = &self.0 else { return Ok(()) };
        let delivery = context.delivery();
        let line = json(&Line {
            event: delivery.received_as().map(EventType::as_str),
            resource_id: resource_id(delivery),
            identity: context.identity().to_string(),
            attempt: context.attempt(),
            possible_repeat: context.possible_repeat(),
            replay_of: context.replay_of().map(RecordId::get),
        })?;
        let mut stdout = stdout.lock().await;
        stdout.write_all(line.as_bytes()).await?;
        stdout.flush().await
    }
}

/// The id as it came, except where it lets its holder act.
pub(crate) fn resource_id(delivery: &Delivery) -> Option<String> {
    if delivery
        .received_as()
        .is_some_and(EventType::id_is_credential)
    {
        delivery.loggable_id().map(|id| id.to_string())
    } else {
        delivery.resource_id().map(str::to_owned)
    }
}

/// What is printed for one handled event.
#[derive(Serialize)]
struct Line<'a> {
    /// The type as it came; null for a custom delivery.
    event: Option<&'a str>,
    /// Hashed where the id itself is a credential.
    resource_id: Option<String>,
    identity: String,
    attempt: u32,
    possible_repeat: bool,
    /// The event in the inbox that this is a replay of.
    replay_of: Option<u64>,
}

/// Every event, of whatever type.
#[on(any)]
pub(crate) async fn event(
    context: Context,
    State(printer): State<Printer>,
) -> Result<(), HandlerError> {
    Ok(printer.print(&context).await?)
}

/// What the flow action `webhook_send` sends: any JSON, without a type.
#[on(custom)]
pub(crate) async fn custom(
    context: Context,
    State(printer): State<Printer>,
) -> Result<(), HandlerError> {
    Ok(printer.print(&context).await?)
}
