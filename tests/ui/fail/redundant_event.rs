use voipbin_receiver::{Context, handlers, on};

#[on(any, CallHangup, custom)]
async fn handler(context: Context) {
    drop(context);
}

#[on(fallback, any)]
async fn other(context: Context) {
    drop(context);
}

fn main() {
    let _ = handlers![handler, other];
}
