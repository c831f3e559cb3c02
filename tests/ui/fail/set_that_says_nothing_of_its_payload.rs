use voipbin_receiver::catalog::EventSet;
use voipbin_receiver::events::{CallHangup, CallProgressing};
use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, Registration};

fn ends() -> impl EventSet {
    (CallHangup, CallProgressing)
}

fn main() {
    let _ = Registration::new(ends(), |call: Event<Call>| async move { drop(call) });
}
