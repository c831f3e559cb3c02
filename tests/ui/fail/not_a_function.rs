use voipbin_receiver::on;

#[on(CallHangup)]
struct Crm;

fn main() {
    let _ = Crm;
}
