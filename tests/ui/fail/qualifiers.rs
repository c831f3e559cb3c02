use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers, on};

#[on(CallHangup)]
async unsafe fn dangerous(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, blocking)]
extern "C" fn foreign(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, blocking)]
const fn constant() {}

fn main() {
    let _ = handlers![dangerous, foreign, constant];
}
