//! Events of the platform's stream, whose connections end without a word.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::sleep;
use voipbin_receiver::catalog::{Any, CATALOG, EventType, Status};
use voipbin_receiver::inbox::Inbox;
use voipbin_receiver::source::{EventStream, Gap};
use voipbin_receiver::testing::event;
use voipbin_receiver::{Context, Delivery, Receiver};

use crate::platform::Platform;
use crate::{api, builder, deliver};

/// The names of so many events that are sent.
pub fn names(most: usize) -> Vec<&'static str> {
    let sent = CATALOG.iter().filter(|entry| entry.status == Status::Sent);
    sent.map(|entry| entry.name).take(most).collect()
}

/// The body of an event.
pub fn body(name: &str, id: impl ToString) -> Bytes {
    event(name).id(id.to_string()).into()
}

/// How often each event was handled.
#[derive(Clone, Default)]
struct Handled(Arc<Mutex<HashMap<(String, String), u32>>>);

impl Handled {
    fn add(&self, delivery: &Delivery) {
        let key = (
            delivery.event_type().unwrap().as_str().to_owned(),
            delivery.resource_id().unwrap().to_owned(),
        );
        *self.0.lock().unwrap().entry(key).or_default() += 1;
    }

    fn times(&self, name: &str, id: &str) -> u32 {
        let handled = self.0.lock().unwrap();
        let key = (name.to_owned(), id.to_owned());
        handled.get(&key).copied().unwrap_or_default()
    }

    fn receiver(&self, inbox: impl Inbox) -> Receiver {
        let handled = self.clone();
        let handler = move |context: Context| {
            handled.add(context.delivery());
            async {}
        };
        builder().inbox(inbox).on(Any, handler).build().unwrap()
    }
}

/// What is told of an event that did not come.
fn is_in_a_gap(gaps: &[Gap], name: &str, at: SystemTime) -> bool {
    let mut gaps = gaps.iter().filter(|gap| gap.event_type.as_str() == name);
    gaps.any(|gap| gap.from <= at && at <= gap.until)
}

/// Each of them is handled once, or in a gap that is told. `LISTEN_EVENTS` for more of them,
/// `LISTEN_SEED` for other connections to drop.
#[expect(clippy::print_stdout, reason = "a soak shows its figures")]
pub async fn drop_at_random(inbox: impl Inbox) {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(value) => value.parse().unwrap(),
        Err(_) => default,
    };
    let (events, seed) = (number("LISTEN_EVENTS", 2_000), number("LISTEN_SEED", 7));
    let test = async {
        let stand_in = Platform::start().await;
        let names = names(20);
        let handled = Handled::default();
        let receiver = handled.receiver(inbox);
        let gaps: Arc<Mutex<Vec<Gap>>> = Arc::default();
        let told = gaps.clone();
        let stream = EventStream::builder(&api(&stand_in).build().unwrap())
            .events(names.iter().map(|name| EventType::parse(name)))
            .on_gap(move |gap| told.lock().unwrap().push(gap))
            .connect()
            .await
            .unwrap();
        let listening = receiver.clone();
        let listening = tokio::spawn(async move { listening.listen(stream).await });
        stand_in.drop_streams_at_random(seed, 40);
        for number in 0..events {
            let body = body(names[number as usize % names.len()], number);
            stand_in.publish(std::str::from_utf8(&body).unwrap());
            // Some come as webhooks too, before or after.
            if number % 3 == 0 {
                deliver(&receiver.service(), body).await;
            }
            sleep(Duration::from_millis(4)).await;
        }
        stand_in.drop_streams_at_random(seed, u32::MAX);
        let (mut delivered, mut reset) = (0, 0);
        for (number, event) in stand_in.published().into_iter().enumerate() {
            let is_webhook = number % 3 == 0;
            let is_accounted = || match handled.times(&event.name, &event.id) {
                0 => !event.delivered && is_in_a_gap(&gaps.lock().unwrap(), &event.name, event.at),
                _ => true,
            };
            // The last of them, and the last gaps, take a moment.
            while !is_accounted() {
                sleep(Duration::from_millis(20)).await;
            }
            let times = handled.times(&event.name, &event.id);
            assert!(times <= 1, "{} {}: {times}", event.name, event.id);
            assert!(times == 1 || !(event.delivered || is_webhook));
            delivered += u32::from(event.delivered);
            reset += u32::from(times == 0);
        }
        let gaps = gaps.lock().unwrap().len();
        println!("seed {seed}: {events} events, {delivered} delivered, {reset} in {gaps} gaps");
        assert!(gaps > 0 && delivered > 0);
        listening.abort();
        assert!(
            receiver
                .shutdown(Duration::from_secs(10))
                .await
                .is_drained()
        );
    };
    tokio::time::timeout(Duration::from_secs(120 + events / 50), test)
        .await
        .expect("it hangs");
}
