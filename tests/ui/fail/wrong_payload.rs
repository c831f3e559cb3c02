use voipbin_receiver::resource::Message;
use voipbin_receiver::{Event, handlers, on};

#[on(CallHangup)]
async fn handler(message: Event<Message>) {
    drop(message);
}

fn main() {
    let _ = handlers![handler];
}
