use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, Registration};

use voipbin_receiver::events::CallHangup;

fn main() {
    let _ = Registration::new(CallHangup, |call: Event<Call>| drop(call));
}
