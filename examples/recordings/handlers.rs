use voipbin_receiver::resource::Recording;
use voipbin_receiver::{Context, Event, HandlerError, State, on};

use crate::archives::Archives;
use crate::team::Team;

/// A recording is over: the team gets a mail once there is something to listen to.
///
/// The files are stored some time after the event. Waiting for them holds up nothing but this run
/// and takes one of the places that [`ReceiverBuilder::concurrency`] gives, 256 by default.
///
/// [`ReceiverBuilder::concurrency`]: voipbin_receiver::ReceiverBuilder::concurrency
#[on(RecordingFinished)]
pub(crate) async fn distribute(
    recording: Event<Recording>,
    context: Context,
    archives: State<Archives>,
    team: State<Team>,
) -> Result<(), HandlerError> {
    let Some(id) = &recording.id else {
        tracing::warn!("a recording without an id cannot be fetched");
        return Ok(());
    };
    let files = archives.files(id).await?;
    team.tell(id, recording.duration(), &files, context.identity())
        .await?;
    tracing::info!(files = files.len(), "mailed");
    Ok(())
}
