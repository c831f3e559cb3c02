use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, on};

struct Crm;

impl Crm {
    #[on(CallHangup)]
    async fn handler(&self, call: Event<Call>) {
        drop(call);
    }
}

fn main() {
    let _ = Crm::handler;
}
