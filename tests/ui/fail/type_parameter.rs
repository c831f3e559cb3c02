use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, State, handlers, on};

#[on(CallHangup)]
async fn handler<T: Clone>(call: Event<Call>, state: State<T>) {
    drop((call, state));
}

fn main() {
    let _ = handlers![handler];
}
