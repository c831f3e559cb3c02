use voipbin_receiver::resource::Recording;
use voipbin_receiver::{Context, Event, HandlerError, State, on};

use crate::archives::Archives;
use crate::team::Team;

/// A recording is over: the team gets a mail once there is something to listen to.
///
/// The files are stored some time after the event. Until then the handler fails, and is tried again
/// with growing waits, which hold up nobody.
#[on(RecordingFinished)]
pub(crate) async fn distribute(
    recording: Event<Recording>,
    context: Context,
    State(archives): State<Archives>,
    State(team): State<Team>,
) -> Result<(), HandlerError> {
    let Some(id) = &recording.id else {
        tracing::warn!("a recording without an id cannot be fetched");
        return Ok(());
    };
    let files = archives.files(id).await.map_err(|error| {
        if error.is_final() {
            HandlerError::permanent(error)
        } else {
            HandlerError::new(error)
        }
    })?;
    team.tell(id, recording.duration(), &files, context.identity())
        .await?;
    tracing::info!(files = files.len(), "mailed");
    Ok(())
}
