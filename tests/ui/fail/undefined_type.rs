use voipbin_receiver::{Event, handlers, on};

#[on(CallHangup)]
async fn handler(call: Event<Calll>) {
    drop(call);
}

fn main() {
    let _ = handlers![handler];
}
