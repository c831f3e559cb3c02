use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, State, handlers, on};

#[on(CallHangup)]
async fn handler(call: Event<Call>, state: State<impl Clone>) {
    drop((call, state));
}

fn main() {
    let _ = handlers![handler];
}
