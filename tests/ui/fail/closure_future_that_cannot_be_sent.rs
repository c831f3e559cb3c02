use std::rc::Rc;

use voipbin_receiver::events::CallHangup;
use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, Registration};

fn main() {
    let _ = Registration::new(CallHangup, |call: Event<Call>| async move {
        let count = Rc::new(1);
        std::future::ready(()).await;
        drop((call, count));
    });
}
