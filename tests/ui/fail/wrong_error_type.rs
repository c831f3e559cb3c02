use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers, on};

#[on(CallHangup)]
async fn handler(call: Event<Call>) -> Result<(), u32> {
    drop(call);
    Ok(())
}

fn main() {
    let _ = handlers![handler];
}
