use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers, on};

#[on(5)]
async fn number(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup CallProgressing)]
async fn comma(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup | CallProgressing)]
async fn bar(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup(name = "crm"))]
async fn parentheses(call: Event<Call>) {
    drop(call);
}

#[on("")]
async fn empty(call: Event<Call>) {
    drop(call);
}

#[on("call_*")]
async fn pattern(call: Event<Call>) {
    drop(call);
}

#[on("any")]
async fn word(call: Event<Call>) {
    drop(call);
}

#[on("CallHangup")]
async fn pascal_case(call: Event<Call>) {
    drop(call);
}

#[on(any())]
async fn no_resource(call: Event<Call>) {
    drop(call);
}

fn main() {
    let _ = handlers![number, comma, bar, parentheses, empty, pattern, word, pascal_case, no_resource];
}
