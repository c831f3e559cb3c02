use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, Receiver, on};

#[on(CallHangup)]
async fn update_crm(call: Event<Call>) {
    drop(call);
}

fn main() {
    let _ = Receiver::builder().handlers([update_crm]);
}
