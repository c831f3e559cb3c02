//! The words of VoIPBIN's tutorial: webhooks that are made and listed, which a platform of today
//! answers with 404.

use serde_json::{Value, json};
use voipbin_receiver::platform::{
    PlatformError, PlatformErrorKind, Target, Webhook, WebhookFields,
};

use super::actions::{Account, Failure};
use super::cli::{Create, Delete, Fields, Update};
use super::report::{Report, object, written};
use crate::terminal::{cell, say};

pub(super) async fn create(
    account: &Account<'_>,
    report: &mut Report,
    create: Create,
) -> Result<(), Failure> {
    let Create {
        uri,
        method,
        fields,
    } = create;
    let sent = sent(&fields, Some(uri.clone()), Some(method.clone()));
    if let Some(made) = unless_no_route(account.platform.webhooks().create(&sent).await)? {
        return one(report, &made);
    }
    note(&fields);
    let target = Target::new(uri, method);
    if fields.yes {
        return account.set(report, &target, &fields.checks).await;
    }
    let now = account.platform.destination().get().await?;
    account.preview(report, &target, &now).await
}

pub(super) async fn list(account: &Account<'_>, report: &mut Report) -> Result<(), Failure> {
    if let Some(webhooks) = unless_no_route(account.platform.webhooks().list().await)? {
        let text: Vec<String> = webhooks.iter().map(row).collect();
        let objects: Vec<Value> = webhooks.iter().map(fields_of).collect();
        report.print(&json!({"result": objects}), &text.join("\n"))?;
        return Ok(());
    }
    let now = account.platform.destination().get().await?;
    say(ONE);
    report.print(&json!({"result": [object(&now)]}), &written(&now))?;
    Ok(())
}

pub(super) async fn update(
    account: &Account<'_>,
    report: &mut Report,
    update: Update,
) -> Result<(), Failure> {
    let Update {
        id,
        uri,
        method,
        fields,
    } = update;
    let sent = sent(&fields, uri.clone(), method.clone());
    if let Some(updated) = unless_no_route(account.platform.webhooks().update(&id, &sent).await)? {
        return one(report, &updated);
    }
    note(&fields);
    if uri.is_none() && method.is_none() {
        let why = "this platform has no names and event types of webhooks: give --uri or --method";
        return Err(Failure::Usage(why.to_owned()));
    }
    let now = account.platform.destination().get().await?;
    let uri = uri.unwrap_or_else(|| now.uri().to_owned());
    let method = method.unwrap_or_else(|| match now.method() {
        "" => "POST".to_owned(),
        method => method.to_owned(),
    });
    let target = Target::new(uri, method);
    match fields.yes {
        true => account.set(report, &target, &fields.checks).await,
        false => account.preview(report, &target, &now).await,
    }
}

pub(super) async fn delete(
    account: &Account<'_>,
    report: &mut Report,
    delete: &Delete,
) -> Result<(), Failure> {
    if unless_no_route(account.platform.webhooks().delete(&delete.id).await)?.is_some() {
        let id = cell(&delete.id, 64);
        report.print(&json!({"deleted": delete.id}), &format!("{id} is deleted"))?;
        return Ok(());
    }
    say(ONE);
    if delete.yes {
        return account.off(report).await;
    }
    let now = account.platform.destination().get().await?;
    account
        .preview(report, &Target::new("", now.method()), &now)
        .await
}

const ONE: &str = "note: this platform has no /v1.0/webhooks, but one webhook for each account";

/// What there is no place for.
fn note(fields: &Fields) {
    say(ONE);
    if fields.event_types.is_some() {
        say(
            "note: it sends every event; which are handled is decided by the handlers of the receiver",
        );
    }
}

/// `None` where the platform has no such route.
fn unless_no_route<T>(answer: Result<T, PlatformError>) -> Result<Option<T>, PlatformError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == PlatformErrorKind::NoRoute => Ok(None),
        Err(error) => Err(error),
    }
}

fn sent(fields: &Fields, uri: Option<String>, method: Option<String>) -> WebhookFields {
    WebhookFields {
        name: fields.name.clone(),
        detail: fields.detail.clone(),
        uri,
        method,
        event_types: fields.event_types.clone(),
    }
}

fn one(report: &mut Report, webhook: &Webhook) -> Result<(), Failure> {
    report.print(&fields_of(webhook), &row(webhook))?;
    Ok(())
}

fn row(webhook: &Webhook) -> String {
    let parts = [
        &*webhook.id,
        &*webhook.status,
        &*webhook.method,
        &*webhook.uri,
        &*webhook.name,
        &*webhook.event_types.join(","),
    ];
    parts.map(|part| cell(part, 1023)).join("  ")
}

fn fields_of(webhook: &Webhook) -> Value {
    json!({
        "id": webhook.id,
        "name": webhook.name,
        "detail": webhook.detail,
        "uri": webhook.uri,
        "method": webhook.method,
        "event_types": webhook.event_types,
        "status": webhook.status,
    })
}
