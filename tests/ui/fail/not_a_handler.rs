use voipbin_receiver::Registration;

use voipbin_receiver::events::CallHangup;

struct Crm;

fn main() {
    let _ = Registration::new(CallHangup, Crm);
}
