use voipbin_receiver::events::{CallHangup, MessageCreated};
use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, Registration};

fn main() {
    let _ = Registration::new((CallHangup, MessageCreated), |call: Event<Call>| async move {
        drop(call);
    });
}
