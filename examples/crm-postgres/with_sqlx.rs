//! The same with sqlx: a handler completes its job by itself, as the last statement of its
//! transaction.

use sqlx::{PgConnection, PgPool, Row};
use voipbin_receiver::resource::Call;
use voipbin_receiver::{Completion, Context, Event, HandlerError, State, on};

use crate::handlers::talk_ms;
use crate::number::contact_number;
use crate::stand_ins::{Team, Trouble};
use crate::statements::{ADD_CONTACT, BEGIN_CALL, COUNT_CALL, END_CALL, PUT_NOTE, TAKE_NOTE};

async fn complete(done: &Completion, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(done.sql())
        .bind(done.job())
        .bind(done.attempt())
        .bind(done.epoch())
        .execute(tx)
        .await?;
    Ok(())
}

#[on(CallProgressing)]
pub(crate) async fn mark_busy(
    call: Event<Call>,
    done: Completion,
    State(pool): State<PgPool>,
) -> Result<(), HandlerError> {
    if let (Some(id), Some(number)) = (call.id.as_deref(), contact_number(&call))
        && !call.is_finished()
    {
        let mut tx = pool.begin().await?;
        sqlx::query(ADD_CONTACT)
            .bind(number)
            .execute(&mut *tx)
            .await?;
        sqlx::query(BEGIN_CALL)
            .bind(id)
            .bind(number)
            .execute(&mut *tx)
            .await?;
        complete(&done, &mut tx).await?;
        tx.commit().await?;
    }
    Ok(())
}

#[on(CallHangup)]
pub(crate) async fn update_contact(
    call: Event<Call>,
    context: Context,
    done: Completion,
    State(pool): State<PgPool>,
    State(trouble): State<Trouble>,
) -> Result<(), HandlerError> {
    let (Some(id), Some(number)) = (call.id.as_deref(), contact_number(&call)) else {
        return Ok(());
    };
    let talk = talk_ms(&call);
    let delivery = context.identity().to_string();
    let note = format!("a call of {talk} ms has ended");
    let mut tx = pool.begin().await?;
    sqlx::query(ADD_CONTACT)
        .bind(number)
        .execute(&mut *tx)
        .await?;
    sqlx::query(END_CALL)
        .bind(id)
        .bind(number)
        .execute(&mut *tx)
        .await?;
    sqlx::query(COUNT_CALL)
        .bind(number)
        .bind(talk)
        .execute(&mut *tx)
        .await?;
    sqlx::query(PUT_NOTE)
        .bind(delivery)
        .bind(note)
        .execute(&mut *tx)
        .await?;
    trouble.strikes()?;
    complete(&done, &mut tx).await?;
    tx.commit().await?;
    Ok(())
}

#[on(CallHangup, backoff = "100ms..10s", timeout = "5s")]
pub(crate) async fn tell_team(
    call: Event<Call>,
    context: Context,
    done: Completion,
    State(pool): State<PgPool>,
    State(team): State<Team>,
) -> Result<(), HandlerError> {
    if call.id.is_none() || contact_number(&call).is_none() {
        return Ok(());
    }
    let delivery = context.identity().to_string();
    let mut tx = pool.begin().await?;
    let note = sqlx::query(TAKE_NOTE)
        .bind(&delivery)
        .fetch_optional(&mut *tx)
        .await?;
    let note = note.ok_or("the contact is not updated yet")?;
    team.send(&delivery, note.try_get(0)?).await?;
    complete(&done, &mut tx).await?;
    tx.commit().await?;
    Ok(())
}
