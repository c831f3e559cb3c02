//! How it is sent, and what is told of it.

use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;
use clap::error::ErrorKind;
use futures_util::future::join_all;
use http::Uri;
use serde::Serialize;
use voipbin_receiver::catalog::{CATALOG, Status};
use voipbin_receiver::gate::Secret;
use voipbin_receiver::testing::{Chaos, Report, Sender, Signer};

use super::bodies::{Body, bodies};
use super::cli::TriggerCommand;
use super::client::{Client, Times};
use crate::options::Options;
use crate::terminal::{Output, cell, complain, exit, in_full, json, say};

/// How much of an answer is shown to a person, in characters.
const SHOWN: usize = 200;

/// Status 1: something was not answered 2xx.
pub(crate) async fn run(command: TriggerCommand) -> ExitCode {
    let mut output = Output::default();
    if command.list {
        return ended(list(&mut output, command.json).map(|()| true));
    }
    let prepared = async {
        let to = target(&command.to)?;
        let signer = signer(&command)?;
        let bodies = bodies(&command).await?;
        if command.reorder && bodies.len() < 2 {
            return Err("there is one event only: give --reorder several, or --times".to_owned());
        }
        let client = Client::new(&to, command.ca.as_deref()).map_err(|error| in_full(&*error))?;
        Ok((to, signer, client, bodies))
    };
    let (to, signer, client, mut bodies) = match prepared.await {
        Ok(prepared) => prepared,
        Err(why) => usage(&why),
    };
    let sender = |client| match &signer {
        Some(signer) => Sender::new(client, signer.clone()).uri(to.clone()),
        None => Sender::unsigned(client).uri(to.clone()),
    };
    if let Some(seed) = command.chaos {
        let worst = Chaos::new(sender(client), seed);
        return ended(chaos(&mut output, command.json, &worst, bodies).await);
    }
    if command.reorder {
        bodies.reverse();
    }
    let copies = if command.duplicate { 2 } else { 1 };
    let mut good = true;
    for body in bodies {
        let deliveries = (1..=copies).map(|copy| {
            let (client, times) = client.timed();
            let sent = sender(client).send(body.bytes.clone());
            async move { (copy, sent.await, times) }
        });
        for (copy, report, times) in join_all(deliveries).await {
            good &= is_good(&report);
            let subject = Subject {
                event: body.event.as_deref(),
                resource_id: body.resource_id.as_deref(),
                copy,
            };
            if let Err(why) = print_report(&mut output, command.json, &subject, &report, &times) {
                return ended(Err(why));
            }
        }
    }
    ended(Ok(good))
}

fn ended(good: Result<bool, String>) -> ExitCode {
    match good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            complain(why);
            ExitCode::FAILURE
        }
    }
}

fn usage(why: &str) -> ! {
    let mut command = Options::command();
    command.build();
    let trigger = command.find_subcommand_mut("trigger");
    match trigger {
        Some(trigger) => exit(&trigger.error(ErrorKind::ValueValidation, why)),
        None => exit(&command.error(ErrorKind::ValueValidation, why)),
    }
}

pub(crate) fn target(to: &str) -> Result<Uri, String> {
    let uri: Uri = to.parse().map_err(|error| format!("the URL: {error}"))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        _ => return Err("the URL begins with neither http:// nor https://".to_owned()),
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err("the URL has a user or a password in it: leave them out".to_owned());
    }
    Ok(uri)
}

fn signer(command: &TriggerCommand) -> Result<Option<Signer>, String> {
    if command.unsigned {
        return Ok(None);
    }
    let secret = match &command.secret_file {
        Some(file) => Secret::from_file(file).map_err(|error| in_full(&error))?,
        // Of several, separated by commas, the first: the server takes them all.
        None => match std::env::var("VOIPBIN_SECRET") {
            Ok(secrets) if !secrets.is_empty() => {
                Secret::from(secrets.split(',').next().unwrap_or_default())
            }
            _ => {
                return Err(
                    "no secret to sign with: give --secret-file FILE or VOIPBIN_SECRET, or send with --unsigned"
                        .to_owned(),
                );
            }
        },
    };
    Ok(Some(Signer::from(&secret)))
}

fn list(output: &mut Output, as_json: bool) -> Result<(), String> {
    let sent = CATALOG.iter().filter(|entry| entry.status == Status::Sent);
    for entry in sent {
        let text = match as_json {
            true => json(&serde_json::json!({"event": entry.name, "summary": entry.summary}))
                .map_err(|error| error.to_string())?,
            false => format!("{:<30} {}\n", entry.name, entry.summary),
        };
        output.print(&text)?;
    }
    Ok(())
}

fn is_good(report: &Report) -> bool {
    report.status().is_some_and(|status| status.is_success())
}

/// What a delivery was about.
pub(crate) struct Subject<'a> {
    pub(crate) event: Option<&'a str>,
    pub(crate) resource_id: Option<&'a str>,
    pub(crate) copy: u32,
}

/// A line of JSON.
#[derive(Serialize)]
struct Attempt<'a> {
    event: Option<&'a str>,
    resource_id: Option<&'a str>,
    copy: u32,
    attempt: usize,
    status: Option<u16>,
    answer: Option<String>,
    error: Option<String>,
    ms: Option<f64>,
}

/// Prints a line for each attempt.
pub(crate) fn print_report(
    output: &mut Output,
    as_json: bool,
    subject: &Subject<'_>,
    report: &Report,
    times: &Times,
) -> Result<(), String> {
    for (place, attempt) in report.attempts().iter().enumerate() {
        let answer = attempt.as_ref().ok();
        let line = Attempt {
            event: subject.event,
            resource_id: subject.resource_id,
            copy: subject.copy,
            attempt: place + 1,
            status: answer.map(|answer| answer.status().as_u16()),
            answer: answer.map(|answer| String::from_utf8_lossy(answer.body()).into_owned()),
            error: attempt.as_ref().err().map(|error| in_full(error)),
            ms: times.get(place).map(milliseconds),
        };
        print(output, as_json, &line)?;
    }
    if report
        .status()
        .is_some_and(|status| status.is_redirection())
    {
        say(
            "note: VoIPBIN follows redirects, and after a 301, 302 or 303 its request has no body: give it the final URL",
        );
    }
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

fn print(output: &mut Output, as_json: bool, attempt: &Attempt<'_>) -> Result<(), String> {
    if as_json {
        return output.print(&json(attempt).map_err(|error| error.to_string())?);
    }
    let mut parts = vec![cell(attempt.event.unwrap_or("file"), SHOWN)];
    parts.extend(attempt.resource_id.map(|id| cell(id, SHOWN)));
    if attempt.copy > 1 {
        parts.push(format!("copy {}", attempt.copy));
    }
    if attempt.attempt > 1 {
        parts.push(format!("attempt {}", attempt.attempt));
    }
    parts.extend(attempt.status.map(|status| status.to_string()));
    let answer = attempt.answer.as_ref().or(attempt.error.as_ref());
    parts.extend(answer.map(|answer| cell(answer, SHOWN)));
    parts.extend(attempt.ms.map(|ms| format!("{ms} ms")));
    output.print(&format!("{}\n", parts.join(" ")))
}

async fn chaos(
    output: &mut Output,
    as_json: bool,
    chaos: &Chaos<Client>,
    bodies: Vec<Body>,
) -> Result<bool, String> {
    let report = chaos
        .send(bodies.iter().map(|body| body.bytes.clone()))
        .await;
    let mut good = !report.arrivals.is_empty();
    for arrival in &report.arrivals {
        let status = arrival.status;
        good &= status.is_some_and(|status| status.is_success());
        let body = bodies.get(arrival.event);
        let line = Attempt {
            event: body.and_then(|body| body.event.as_deref()),
            resource_id: body.and_then(|body| body.resource_id.as_deref()),
            copy: arrival.copy,
            attempt: usize::try_from(arrival.attempt).unwrap_or(usize::MAX),
            status: status.map(|status| status.as_u16()),
            answer: None,
            error: status.is_none().then(|| "no answer".to_owned()),
            ms: Some(milliseconds(arrival.at)),
        };
        print(output, as_json, &line)?;
    }
    say(format_args!(
        "seed {}: of {} events {} never arrived and {} were answered 2xx; {} requests arrived",
        report.seed,
        bodies.len(),
        report.lost().len(),
        report.accepted().len(),
        report.arrivals.len(),
    ));
    Ok(good)
}
