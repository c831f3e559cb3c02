use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers, on};

#[on(call_hangup)]
async fn handler(call: Event<Call>) {
    drop(call);
}

#[on(any(call))]
async fn resource(call: Event<Call>) {
    drop(call);
}

#[on(hangup)]
async fn word(call: Event<Call>) {
    drop(call);
}

fn main() {
    let _ = handlers![handler, resource, word];
}
