use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers, on};

#[on(CallHangup, attempts = 0)]
async fn no_attempt(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, concurrency = 0, timeout = "0s")]
async fn no_room_and_no_time(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, timeout = "30sec")]
async fn unknown_unit(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, backoff = "5s")]
async fn one_wait(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, timeout = 30)]
async fn no_unit(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, attempts = "5")]
async fn text(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, attempts = 3, timeout = "1s", attempts = 5)]
async fn twice(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, attempt = 3, timout = "1s")]
async fn misspelt(call: Event<Call>) {
    drop(call);
}

fn main() {
    let _ = handlers![no_attempt, no_room_and_no_time, unknown_unit, one_wait, no_unit, text, twice, misspelt];
}
