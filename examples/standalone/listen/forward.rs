//! The events by a server in any language, as the platform sends them.

use http::Uri;
use serde::Deserialize;
use tokio::task::JoinSet;
use voipbin_receiver::catalog::{CATALOG, EventType, Status};
use voipbin_receiver::platform::{Customer, Platform};
use voipbin_receiver::source::StreamedEvent;
use voipbin_receiver::testing::{Report, Sender, Signer};

use super::cli::ListenCommand;
use super::{Failure, connect, secret};
use crate::server::StopSignals;
use crate::terminal::{Output, in_full, say};
use crate::trigger::{Client, Subject, Times, print_report, target};

/// How many events are on their way at once. More wait in the stream.
const AT_ONCE: usize = 100;

/// Where they are sent on to.
pub(super) struct Target {
    uri: Uri,
    client: Client,
}

/// What became of one.
type Sent = (StreamedEvent, Report, Times);

impl Target {
    pub(super) fn new(to: &str, command: &ListenCommand) -> Result<Self, String> {
        let uri = target(to)?;
        if !command.allow_remote && !is_this_machine(&uri) {
            return Err(
                "the URL is one of another machine, which would be sent personal data: say --allow-remote"
                    .to_owned(),
            );
        }
        let client = Client::new(&uri, command.ca.as_deref()).map_err(|error| in_full(&*error))?;
        Ok(Self { uri, client })
    }

    pub(super) async fn run(
        &self,
        platform: &Platform,
        customer: &Customer,
        command: &ListenCommand,
    ) -> Result<(), Failure> {
        let signer = secret(customer).as_ref().map(Signer::from);
        if signer.is_none() {
            say("note: the account has no secret: what is sent on is not signed");
        }
        let events: Vec<EventType> = match &*command.events {
            [] => CATALOG
                .iter()
                .filter(|entry| entry.status == Status::Sent)
                .map(|entry| EventType::parse(entry.name))
                .collect(),
            events => events.iter().map(|name| EventType::parse(name)).collect(),
        };
        let mut stop = StopSignals::new().map_err(|error| Failure::Failed(error.to_string()))?;
        let mut stream = tokio::select! {
            stream = connect(platform, customer, events) => stream?,
            () = stop.next() => return Ok(()),
        };
        let mut output = Output::default();
        let mut sending: JoinSet<Sent> = JoinSet::new();
        loop {
            tokio::select! {
                event = stream.next(), if sending.len() < AT_ONCE => {
                    let event = event.map_err(|error| Failure::Failed(in_full(&error)))?;
                    sending.spawn(self.send(signer.clone(), event));
                }
                Some(sent) = sending.join_next() => {
                    let sent = sent.map_err(|error| Failure::Failed(error.to_string()))?;
                    print(&mut output, command.json, &sent).map_err(Failure::Failed)?;
                }
                () = stop.next() => return Ok(()),
            }
        }
    }

    fn send(
        &self,
        signer: Option<Signer>,
        event: StreamedEvent,
    ) -> impl Future<Output = Sent> + Send + 'static {
        let (client, times) = self.client.timed();
        let sender = match signer {
            Some(signer) => Sender::new(client, signer),
            None => Sender::unsigned(client),
        };
        let sent = sender.uri(self.uri.clone()).send(event.body.clone());
        async move { (event, sent.await, times) }
    }
}

fn print(output: &mut Output, as_json: bool, sent: &Sent) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        id: Option<std::borrow::Cow<'a, str>>,
    }

    let (event, report, times) = sent;
    let body = serde_json::from_slice::<Body<'_>>(&event.body).ok();
    let id = body.and_then(|body| body.data.id);
    // Some ids let their holder act.
    let id = id.filter(|_| !event.event_type.id_is_credential());
    let subject = Subject {
        event: Some(event.event_type.as_str()),
        resource_id: id.as_deref(),
        copy: 1,
    };
    print_report(output, as_json, &subject, report, times)
}

fn is_this_machine(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.to_canonical().is_loopback())
}
