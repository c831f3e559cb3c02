use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers, on};

use std::rc::Rc;

#[on(CallHangup)]
async fn handler(call: Event<Call>) {
    let count = Rc::new(1);
    std::future::ready(()).await;
    drop((call, count));
}

fn main() {
    let _ = handlers![handler];
}
