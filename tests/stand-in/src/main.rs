//! A stand-in of VoIPBIN's API to try things with: `cargo run -p stand-in`.
//!
//! It prints what an account at VoIPBIN has, and makes an event for each name that it reads.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code with a face"
)]

use stand_in::{ACCESS_KEY, Platform};
use tokio::io::{AsyncBufReadExt, BufReader};
use voipbin_receiver::catalog::EventType;
use voipbin_receiver::testing::event;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let address = std::env::args().nth(1);
    let platform = Platform::start_at(address.as_deref().unwrap_or("127.0.0.1:8080")).await;
    println!("export VOIPBIN_API={}", platform.url());
    println!("export VOIPBIN_ACCESS_KEY={ACCESS_KEY}");
    println!("\nType the name of an event, such as call_hangup, to have it happen.");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut made = 0;
    while let Ok(Some(name)) = lines.next_line().await {
        let name = name.trim();
        if matches!(EventType::parse(name), EventType::Other(_)) {
            println!("VoIPBIN has no event of this name");
            continue;
        }
        made += 1;
        let event = event(name).id(format!("00000000-0000-4000-8000-{made:012}"));
        let body = serde_json::to_string(&event).unwrap();
        platform.publish(&body);
        match platform.send(body).await {
            Some(report) => match report.answer() {
                Some(answer) => println!("{}", answer.status()),
                None => println!("no answer, in three attempts"),
            },
            None => println!("the account's webhook is not set"),
        }
    }
}
