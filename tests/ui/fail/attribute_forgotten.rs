use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers};

mod billing {
    use voipbin_receiver::Event;
    use voipbin_receiver::resource::Call;

    pub async fn bill(call: Event<Call>) {
        drop(call);
    }
}

async fn handler(call: Event<Call>) {
    drop(call);
}

fn main() {
    let _ = handlers![handler, billing::bill];
}
