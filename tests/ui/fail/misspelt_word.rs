use voipbin_receiver::{Context, handlers, on};

#[on(fallbck)]
async fn handler(context: Context) {
    drop(context);
}

#[on(CallHangup, bloking)]
fn other(context: Context) {
    drop(context);
}

fn main() {
    let _ = handlers![handler, other];
}
