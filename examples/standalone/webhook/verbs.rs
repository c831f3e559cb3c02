//! Asks the platform and prints the answers.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use voipbin_receiver::gate::Secret;
use voipbin_receiver::platform::{
    Change, Credential, Destination, DestinationError, DestinationErrorKind, Platform,
    PlatformErrorKind, Target,
};

use super::cli::{Asking, Care, Show, Verb, WebhookCommand};
use super::told::{Told, object, written};
use super::tutorial;
use super::undo::{keep, kept};
use crate::terminal::{cell, complain, in_full, say};

/// How a verb ended that did not do what it was told.
pub(super) enum Failure {
    /// Status 1.
    Failed(String),
    /// Status 2.
    Senseless(String),
    /// Status 3: it was told what would be done.
    NotAgreed,
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<voipbin_receiver::platform::PlatformError> for Failure {
    fn from(error: voipbin_receiver::platform::PlatformError) -> Self {
        Self::Failed(in_full(&error))
    }
}

impl From<DestinationError> for Failure {
    fn from(error: DestinationError) -> Self {
        match error.kind() {
            DestinationErrorKind::Refused(_) => Self::Senseless(in_full(&error)),
            _ => Self::Failed(in_full(&error)),
        }
    }
}

pub(crate) async fn run(command: WebhookCommand) -> ExitCode {
    let WebhookCommand { asking, verb } = command;
    let (why, status) = match act(&asking, verb).await {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::NotAgreed) => return ExitCode::from(3),
        Err(Failure::Failed(why)) => (why, 1),
        Err(Failure::Senseless(why)) => (why, 2),
    };
    complain(why);
    ExitCode::from(status)
}

async fn act(asking: &Asking, verb: Verb) -> Result<(), Failure> {
    let platform = connect(asking).map_err(Failure::Senseless)?;
    let told = &mut Told::new(asking.json);
    if !asking.json && io::stderr().is_terminal() {
        say(format_args!("asking {} …", cell(&asking.api, 100)));
    }
    let account = Account {
        platform: &platform,
        asking,
    };
    match verb {
        Verb::Show(show) => account.show(told, &show).await,
        Verb::Set(set) => {
            let target = Target::new(set.uri, set.method);
            account.set(told, &target, &set.care).await
        }
        Verb::Off => account.off(told).await,
        Verb::Undo => account.undo(told).await,
        Verb::Create(create) => tutorial::create(&account, told, create).await,
        Verb::List => tutorial::list(&account, told).await,
        Verb::Update(update) => tutorial::update(&account, told, update).await,
        Verb::Delete(delete) => tutorial::delete(&account, told, &delete).await,
    }
}

fn connect(asking: &Asking) -> Result<Platform, String> {
    let credential = match &asking.credential_file {
        Some(file) => Credential::from_file(file).map_err(|error| in_full(&error))?,
        // A token wins, as on the platform.
        None => match (variable("VOIPBIN_TOKEN"), variable("VOIPBIN_ACCESS_KEY")) {
            (Some(token), _) => Credential::token(token),
            (None, Some(key)) => Credential::access_key(key),
            (None, None) => {
                return Err(
                    "nobody to ask as: give VOIPBIN_ACCESS_KEY, VOIPBIN_TOKEN or --credential-file FILE"
                        .to_owned(),
                );
            }
        },
    };
    let mut builder = Platform::builder()
        .base_url(&*asking.api)
        .credential(credential);
    if let Some(file) = &asking.api_ca {
        builder = builder.ca_file(file).map_err(|error| in_full(&error))?;
    }
    builder.build().map_err(|error| in_full(&error))
}

fn variable(name: &str) -> Option<Secret> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.map(Secret::from)
}

/// The account that is asked about.
pub(super) struct Account<'a> {
    pub(super) platform: &'a Platform,
    asking: &'a Asking,
}

impl Account<'_> {
    pub(super) async fn show(&self, told: &mut Told, show: &Show) -> Result<(), Failure> {
        let customer = self.platform.customer().await?;
        let target = Target::new(customer.webhook_uri, customer.webhook_method);
        if let Some(file) = &show.save_secret {
            let secret = customer.webhook_secret.as_ref().ok_or_else(|| {
                Failure::Failed("the account has no secret: its events are not signed".to_owned())
            })?;
            save(file, secret)?;
        }
        let secret = match (&customer.webhook_secret, &show.save_secret) {
            (Some(_), Some(file)) => format!("the secret is in {}", file.display()),
            (Some(_), None) => "there is a secret; --save-secret FILE stores it".to_owned(),
            (None, _) => "there is no secret: events are not signed".to_owned(),
        };
        let object = json!({
            "customer_id": customer.id,
            "uri": target.uri(),
            "method": target.method(),
            "has_secret": customer.webhook_secret.is_some(),
        });
        let account = cell(&customer.id, 64);
        told.print(
            &object,
            &format!("{}\naccount {account}; {secret}", written(&target)),
        )?;
        Ok(())
    }

    pub(super) async fn set(
        &self,
        told: &mut Told,
        target: &Target,
        care: &Care,
    ) -> Result<(), Failure> {
        let mut destination = self.platform.destination();
        if care.allow_private {
            destination = destination.allow_private_hosts();
        }
        if care.no_probe {
            destination = destination.without_probe();
        }
        let made = destination.set(target.uri(), target.method());
        self.keep(told, &destination, made, target).await
    }

    pub(super) async fn off(&self, told: &mut Told) -> Result<(), Failure> {
        let destination = self.platform.destination();
        let target = Target::new("", "");
        self.keep(told, &destination, destination.disable(), &target)
            .await
    }

    async fn undo(&self, told: &mut Told) -> Result<(), Failure> {
        let change = kept(&self.asking.state, &self.asking.api)?;
        let destination = self.platform.destination();
        let made = destination.undo(&change);
        self.keep(told, &destination, made, change.before()).await
    }

    /// Makes a change, keeps it for an undo, and tells it.
    async fn keep(
        &self,
        told: &mut Told,
        destination: &Destination,
        made: impl Future<Output = Result<Change, DestinationError>>,
        target: &Target,
    ) -> Result<(), Failure> {
        let change = match made.await {
            Ok(change) => change,
            Err(error) => {
                if may_be_made(&error)
                    && destination
                        .get()
                        .await
                        .is_ok_and(|now| now.uri() == target.uri())
                {
                    say("note: the change was made, and is not kept for undo");
                }
                return Err(error.into());
            }
        };
        // One that changes nothing must not take the place of one that did.
        if change.is_change() {
            keep(&self.asking.state, &self.asking.api, &change)?;
        }
        told.change(&change)?;
        Ok(())
    }

    /// What a word of the tutorial comes to on a platform with one webhook for each account.
    pub(super) async fn would(
        &self,
        told: &mut Told,
        target: &Target,
        now: &Target,
    ) -> Result<(), Failure> {
        let object = json!({
            "done": false,
            "before": object(now),
            "after": object(target),
        });
        let text = format!("now {}\nwith --yes {}", written(now), written(target));
        told.print(&object, &text)?;
        Err(Failure::NotAgreed)
    }
}

fn may_be_made(error: &DestinationError) -> bool {
    matches!(
        error.kind(),
        DestinationErrorKind::NotStored(_)
            | DestinationErrorKind::Platform(
                PlatformErrorKind::Timeout | PlatformErrorKind::Broken
            )
    )
}

/// A new file, which nobody else can read at any moment.
fn save(file: &Path, secret: &Secret) -> Result<(), String> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    let written = opened.and_then(|mut opened| {
        writeln!(opened, "{}", secret.expose())?;
        opened.sync_all()
    });
    written.map_err(|error| format!("the secret cannot be stored in {}: {error}", file.display()))
}
