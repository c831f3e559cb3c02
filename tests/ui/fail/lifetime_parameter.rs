use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, State, handlers, on};

#[on(CallHangup)]
async fn handler<'a>(call: Event<Call>, state: State<&'a str>) {
    drop((call, state));
}

fn main() {
    let _ = handlers![handler];
}
