use voipbin_receiver::resource::Call;
use voipbin_receiver::{Context, Event, on};

mod events {
    pub struct Renewed;
}

#[on(events::Renewed)]
async fn handler(context: Context) {
    drop(context);
}

#[on(events::Expired)]
async fn misspelt(call: Event<Call>) {
    drop(call);
}

fn main() {
    drop((handler, misspelt));
}
