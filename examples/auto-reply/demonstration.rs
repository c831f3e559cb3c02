use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use stage::{Account, SECRET, until};

use crate::api::Api;
use crate::handlers::ANSWER;
use crate::platform::{ACCESS_KEY, Platform, inbound, own_number};

pub(crate) async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut account = Account::new("auto-reply: one answer to each SMS that comes in");
    let (webhook, webhook_address) = stage::listen().await?;
    let (api, api_address) = stage::listen().await?;
    let platform = Platform::new(stage::platform(webhook_address)?);
    stage::serve(api, platform.api());
    let api = Api::new(&format!("http://{api_address}").parse()?, ACCESS_KEY)?;
    let (receiver, app) = crate::application(SECRET, api)?;
    stage::serve(webhook, app);

    let person = json!({"type": "tel", "target": "+15550111"});
    let question = inbound("6f2a3d28-179c-4409-ab7f-02ed282914bc", &person);

    account.tell("an SMS comes in, is answered, and the answer is announced as well");
    let answer = platform.announce(&question).await;
    account.check("answer to the webhook", answer.as_str(), "received");
    until("the answer is announced", || platform.announced() >= 2).await?;

    account.tell("the SMS is announced once more");
    let answer = platform.announce(&question).await;
    account.check("answer to the webhook", answer.as_str(), "duplicate");

    account.tell("one comes in without a sender");
    let nobody = inbound("6393405b-fec8-46b1-9beb-becad0bca4d6", &Value::Null);
    platform.announce(&nobody).await;

    // Whatever a handler that answers itself would still send is sent by the end of the drain.
    let drained = receiver
        .shutdown(Duration::from_secs(10))
        .await
        .is_drained();
    account.check("drained", drained, true);

    account.tell("what was sent in the end");
    let sent = platform.sent();
    account.check("messages", sent.len(), 1);
    let message = sent.into_iter().next().ok_or("nothing was sent")?;
    account.check("text", message.text.as_str(), ANSWER);
    account.check(
        "it goes to the sender",
        message.destinations == [person],
        true,
    );
    account.check(
        "it comes from the number that was written to",
        message.source == own_number(),
        true,
    );
    let stats = receiver.stats();
    account.check("announcements that the handler saw", stats.handled, 3);
    account.check("handlers that failed", stats.failed, 0);
    account.check("events of the other family, left alone", stats.unmatched, 4);
    Ok(account.end())
}
