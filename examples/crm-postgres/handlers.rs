//! The handlers, whose writes commit with the completion of their job.

use voipbin_receiver::resource::Call;
use voipbin_receiver::{Context, Event, HandlerError, State, Tx, on};

use crate::number::contact_number;
use crate::stand_ins::{Team, Trouble};
use crate::statements::{ADD_CONTACT, BEGIN_CALL, COUNT_CALL, END_CALL, PUT_NOTE, TAKE_NOTE};

/// Somebody answered: the contact is on the phone, unless the event was written after the end.
#[on(CallProgressing)]
pub(crate) async fn mark_busy(call: Event<Call>, tx: Tx) -> Result<(), HandlerError> {
    if let (Some(id), Some(number)) = (call.id.as_deref(), contact_number(&call))
        && !call.is_finished()
    {
        tx.execute(ADD_CONTACT, &[&number]).await?;
        tx.execute(BEGIN_CALL, &[&id, &number]).await?;
    }
    Ok(())
}

/// The call is over: the contact has one more of them, and the team is to be told.
#[on(CallHangup)]
pub(crate) async fn update_contact(
    call: Event<Call>,
    context: Context,
    tx: Tx,
    State(trouble): State<Trouble>,
) -> Result<(), HandlerError> {
    let (Some(id), Some(number)) = (call.id.as_deref(), contact_number(&call)) else {
        return Ok(());
    };
    let talk = talk_ms(&call);
    tx.execute(ADD_CONTACT, &[&number]).await?;
    tx.execute(END_CALL, &[&id, &number]).await?;
    tx.execute(COUNT_CALL, &[&number, &talk]).await?;
    let note = format!("a call of {talk} ms has ended");
    let delivery = context.identity().to_string();
    tx.execute(PUT_NOTE, &[&delivery, &note]).await?;
    trouble.strikes()
}

/// Sends what is noted with the contact. The team may get it twice, by the same key: it is sent
/// before it is known that its row is gone.
#[on(CallHangup, backoff = "100ms..10s", timeout = "5s")]
pub(crate) async fn tell_team(
    call: Event<Call>,
    context: Context,
    tx: Tx,
    State(team): State<Team>,
) -> Result<(), HandlerError> {
    if call.id.is_none() || contact_number(&call).is_none() {
        return Ok(());
    }
    let delivery = context.identity().to_string();
    match tx.query_opt(TAKE_NOTE, &[&delivery]).await? {
        Some(row) => team.send(&delivery, row.get(0)).await,
        None => Err(HandlerError::new("the contact is not updated yet")),
    }
}

pub(crate) fn talk_ms(call: &Call) -> i64 {
    let talk = call.duration().unwrap_or_default().as_millis();
    i64::try_from(talk).unwrap_or(i64::MAX)
}
