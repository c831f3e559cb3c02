use voipbin_receiver::resource::Call;
use voipbin_receiver::{Context, Event, handlers, on};

#[on(CallHangup, MessageCreated, CallProgressing)]
async fn handler(context: Context, call: Event<Call>) {
    drop((context, call));
}

fn main() {
    let _ = handlers![handler];
}
