use voipbin_receiver::event::Time;
use voipbin_receiver::resource::Call;
use voipbin_receiver::{Context, Event, HandlerError, State, on};

use crate::contacts::{CallEnd, Contacts};
use crate::number::contact_number;

/// Somebody answered: the contact is on the phone, unless the event was written after the end.
#[on(CallProgressing, blocking)]
pub(crate) fn mark_busy(
    call: Event<Call>,
    State(contacts): State<Contacts>,
) -> Result<(), HandlerError> {
    if let (Some(id), Some(number)) = (&call.id, contact_number(&call))
        && !call.is_finished()
    {
        contacts.call_began(id, number)?;
    }
    Ok(())
}

/// The call is over: the contact has one more of them.
#[on(CallHangup, blocking)]
pub(crate) fn update_contact(
    call: Event<Call>,
    context: Context,
    State(contacts): State<Contacts>,
) -> Result<(), HandlerError> {
    let Some(number) = contact_number(&call) else {
        tracing::info!("no number to keep this call under");
        return Ok(());
    };
    let end = CallEnd {
        delivery: context.identity(),
        call: call.id.as_deref(),
        at: match call.tm_hangup {
            Some(at) => at,
            None => Time::try_from(context.received_at())?,
        },
        reason: call.hangup_reason.as_ref().map(|reason| reason.as_str()),
        talk: call.duration().unwrap_or_default(),
    };
    let counted = contacts.call_ended(number, &end)?;
    tracing::info!(counted, "ended");
    Ok(())
}
