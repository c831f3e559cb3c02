use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, State, handlers, on};

struct Crm;

#[on(CallHangup)]
async fn handler(call: Event<Call>, crm: State<Crm>) {
    drop((call, crm));
}

fn main() {
    let _ = handlers![handler];
}
