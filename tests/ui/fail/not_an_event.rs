use voipbin_receiver::{Context, Registration};

fn main() {
    let _ = Registration::new("call_hangup", |context: Context| async move { drop(context) });
}
