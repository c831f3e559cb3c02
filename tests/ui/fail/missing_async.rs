use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, HandlerError, handlers, on};

#[on(CallHangup)]
fn handler(call: Event<Call>) -> Result<(), HandlerError> {
    drop(call);
    Ok(())
}

fn main() {
    let _ = handlers![handler];
}
