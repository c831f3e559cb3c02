#![deny(dead_code)]

use voipbin_receiver::{Context, handlers, on};

#[on(CallHangup)]
async fn handler(context: Context) {
    drop(context);
}

#[on(CallHangup)]
async fn forgotten(context: Context) {
    drop(context);
}

fn main() {
    let _ = handlers![handler];
}
