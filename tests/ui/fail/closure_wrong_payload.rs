use voipbin_receiver::resource::Message;
use voipbin_receiver::{Event, Registration};

use voipbin_receiver::events::CallHangup;

fn main() {
    let _ = Registration::new(CallHangup, |message: Event<Message>| async move {
        drop(message)
    });
}
