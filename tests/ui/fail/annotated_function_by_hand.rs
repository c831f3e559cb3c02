#![deny(dead_code)]

use voipbin_receiver::events::CallHangup;
use voipbin_receiver::{Context, Receiver, on};

#[on(CallHangup, name = "crm", attempts = 3)]
async fn update_crm(context: Context) {
    drop(context);
}

fn main() {
    let _ = Receiver::builder().on(CallHangup, update_crm);
}
