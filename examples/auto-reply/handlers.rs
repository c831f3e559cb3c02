use voipbin_receiver::resource::Message;
use voipbin_receiver::{Event, HandlerError, State, on};

use crate::api::Api;

pub(crate) const ANSWER: &str = "Thank you, we will call you back.";

/// Answers what came in.
///
/// The answer is announced as a `message_created` too: `reply` gives no address for that one, or it
/// would be answered for ever. Each SMS also comes as a `conversation_message_created`, which this
/// application leaves alone: whoever handles both answers twice. A handler that fails runs again,
/// so what may have been sent must fail for good.
#[on(MessageCreated)]
pub(crate) async fn answer(
    message: Event<Message>,
    State(api): State<Api>,
) -> Result<(), HandlerError> {
    let Some(reply) = message.reply() else {
        return Ok(());
    };
    api.send_message(reply.source, reply.destination, ANSWER)
        .await
        .map_err(|error| {
            if error.may_try_again() {
                HandlerError::new(error)
            } else {
                HandlerError::permanent(error)
            }
        })?;
    tracing::info!("answered");
    Ok(())
}
