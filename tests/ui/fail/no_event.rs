use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers, on};

#[on()]
async fn empty(call: Event<Call>) {
    drop(call);
}

#[on]
async fn bare(call: Event<Call>) {
    drop(call);
}

#[on(name = "crm")]
async fn only_a_name(call: Event<Call>) {
    drop(call);
}

fn main() {
    let _ = handlers![empty, bare, only_a_name];
}
