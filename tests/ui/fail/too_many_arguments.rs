use voipbin_receiver::{Context, handlers, on};

#[on(CallHangup)]
#[rustfmt::skip]
async fn handler(
    _: Context, _: Context, _: Context, _: Context,
    _: Context, _: Context, _: Context, _: Context,
    ninth: Context, tenth: Context,
) {
    drop((ninth, tenth));
}

fn main() {
    let _ = handlers![handler];
}
