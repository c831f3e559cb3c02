//! Asks the platform and prints the answers.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use voipbin_receiver::gate::Secret;
use voipbin_receiver::platform::{
    Change, Destination, DestinationError, DestinationErrorKind, Platform, PlatformError,
    PlatformErrorKind, Target,
};

use super::cli::{Action, CheckArgs, Show, WebhookCommand};
use super::report::{Report, object, written};
use super::tutorial;
use super::undo;
use crate::terminal::{cell, complain, in_full, say};

/// Why nothing was done, or not what was asked.
pub(super) enum Failure {
    /// Status 1.
    Failed(String),
    /// Status 2.
    Usage(String),
    /// Status 3: what would be done was printed.
    NotConfirmed,
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<PlatformError> for Failure {
    fn from(error: PlatformError) -> Self {
        Self::Failed(in_full(&error))
    }
}

impl From<DestinationError> for Failure {
    fn from(error: DestinationError) -> Self {
        match error.kind() {
            DestinationErrorKind::Refused(_) => Self::Usage(in_full(&error)),
            _ => Self::Failed(in_full(&error)),
        }
    }
}

pub(crate) async fn run(command: WebhookCommand) -> ExitCode {
    let (why, status) = match act(command).await {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::NotConfirmed) => return ExitCode::from(3),
        Err(Failure::Failed(why)) => (why, 1),
        Err(Failure::Usage(why)) => (why, 2),
    };
    complain(why);
    ExitCode::from(status)
}

async fn act(command: WebhookCommand) -> Result<(), Failure> {
    let platform = command.api.connect().map_err(Failure::Usage)?;
    let report = &mut Report::new(command.json);
    if !command.json {
        command.api.announce();
    }
    let account = Account {
        platform: &platform,
        url: &command.api.url,
        state: &command.state,
    };
    match command.action {
        Action::Show(show) => account.show(report, &show).await,
        Action::Set(set) => {
            let target = Target::new(set.uri, set.method);
            account.set(report, &target, &set.checks).await
        }
        Action::Off => account.off(report).await,
        Action::Undo => account.undo(report).await,
        Action::Create(create) => tutorial::create(&account, report, create).await,
        Action::List => tutorial::list(&account, report).await,
        Action::Update(update) => tutorial::update(&account, report, update).await,
        Action::Delete(delete) => tutorial::delete(&account, report, &delete).await,
    }
}

/// The account that is asked about.
pub(super) struct Account<'a> {
    pub(super) platform: &'a Platform,
    /// Of the platform.
    url: &'a str,
    /// The file for undo.
    state: &'a Path,
}

impl Account<'_> {
    pub(super) async fn show(&self, report: &mut Report, show: &Show) -> Result<(), Failure> {
        let customer = self.platform.customer().await?;
        let target = Target::new(customer.webhook_uri, customer.webhook_method);
        if let Some(file) = &show.save_secret {
            let secret = customer.webhook_secret.as_ref().ok_or_else(|| {
                Failure::Failed("the account has no secret: its events are not signed".to_owned())
            })?;
            save_secret(file, secret)?;
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
        report.print(
            &object,
            &format!("{}\naccount {account}; {secret}", written(&target)),
        )?;
        Ok(())
    }

    pub(super) async fn set(
        &self,
        report: &mut Report,
        target: &Target,
        checks: &CheckArgs,
    ) -> Result<(), Failure> {
        let mut destination = self.platform.destination();
        if checks.allow_private {
            destination = destination.allow_private_hosts();
        }
        if checks.no_probe {
            destination = destination.without_probe();
        }
        let made = destination.set(target.uri(), target.method());
        self.make(report, &destination, made, target).await
    }

    pub(super) async fn off(&self, report: &mut Report) -> Result<(), Failure> {
        let destination = self.platform.destination();
        let target = Target::new("", "");
        self.make(report, &destination, destination.disable(), &target)
            .await
    }

    async fn undo(&self, report: &mut Report) -> Result<(), Failure> {
        let change = undo::load(self.state, self.url)?;
        let destination = self.platform.destination();
        let made = destination.undo(&change);
        self.make(report, &destination, made, change.before()).await
    }

    /// Makes a change, saves it for an undo, and reports it.
    async fn make(
        &self,
        report: &mut Report,
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
                    say("note: the change was made, and is not saved for undo");
                }
                return Err(error.into());
            }
        };
        // One that changes nothing must not take the place of one that did.
        if change.is_change() {
            undo::save(self.state, self.url, &change)?;
        }
        report.change(&change)?;
        Ok(())
    }

    /// Prints what a command of the tutorial would do to the one webhook of an account.
    pub(super) async fn preview(
        &self,
        report: &mut Report,
        target: &Target,
        now: &Target,
    ) -> Result<(), Failure> {
        let object = json!({
            "done": false,
            "before": object(now),
            "after": object(target),
        });
        let text = format!("now {}\nwith --yes {}", written(now), written(target));
        report.print(&object, &text)?;
        Err(Failure::NotConfirmed)
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
fn save_secret(file: &Path, secret: &Secret) -> Result<(), String> {
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
