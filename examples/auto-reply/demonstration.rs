use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use demo_support::{Demo, SECRET, until};
use serde_json::{Value, json};

use crate::api::Api;
use crate::handlers::ANSWER;
use crate::platform::{ACCESS_KEY, Platform, inbound, own_number};

pub(crate) async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut demo = Demo::new("auto-reply: one answer to each SMS that comes in");
    let (webhook, webhook_address) = demo_support::listen().await?;
    let (api, api_address) = demo_support::listen().await?;
    let platform = Platform::new(demo_support::platform(webhook_address)?);
    demo_support::serve(api, platform.api());
    let api = Api::new(&format!("http://{api_address}").parse()?, ACCESS_KEY)?;
    let (receiver, app) = crate::application(SECRET, api)?;
    demo_support::serve(webhook, app);

    let person = json!({"type": "tel", "target": "+15550111"});
    let question = inbound("6f2a3d28-179c-4409-ab7f-02ed282914bc", &person);

    demo.tell("an SMS comes in, is answered, and the answer is announced as well");
    let answer = platform.announce(&question).await;
    demo.check("answer to the webhook", answer.as_str(), "received");
    until("the answer is announced", || platform.announced() >= 2).await?;

    demo.tell("the SMS is announced once more");
    let answer = platform.announce(&question).await;
    demo.check("answer to the webhook", answer.as_str(), "duplicate");

    demo.tell("one comes in without a sender");
    let nobody = inbound("6393405b-fec8-46b1-9beb-becad0bca4d6", &Value::Null);
    platform.announce(&nobody).await;

    // Whatever a handler that answers itself would still send is sent by the end of the drain.
    let drained = receiver
        .shutdown(Duration::from_secs(10))
        .await
        .is_drained();
    demo.check("drained", drained, true);

    demo.tell("what was sent in the end");
    let sent = platform.sent();
    demo.check("messages", sent.len(), 1);
    let message = sent.into_iter().next().ok_or("nothing was sent")?;
    demo.check("text", message.text.as_str(), ANSWER);
    demo.check(
        "it goes to the sender",
        message.destinations == [person],
        true,
    );
    demo.check(
        "it comes from the number that was written to",
        message.source == own_number(),
        true,
    );
    let stats = receiver.stats();
    demo.check("announcements that the handler saw", stats.handled, 3);
    demo.check("handlers that failed", stats.failed, 0);
    demo.check("events of the other family, left alone", stats.unmatched, 4);
    Ok(demo.end())
}
