//! Distinct events of 1.5 KB.

use std::fmt::Write;

use voipbin_receiver::Repeats;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{HandlerSet, Incoming};
use voipbin_receiver::testing::delivery;

const LENGTH: usize = 1536;

/// The body of the event of this number. No two have much in common.
pub(crate) fn body(number: usize) -> String {
    let mut body = format!(
        r#"{{"type":"call_hangup","data":{{"id":"{number:032x}","status":"hangup","hangup_reason":"normal","note":""#
    );
    let mut state = number as u64;
    while body.len() + 19 <= LENGTH {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        write!(body, "{:016x}", mixed ^ (mixed >> 31)).unwrap();
    }
    body.push_str(r#""}}"#);
    body
}

/// The handler that all events are for.
pub(crate) fn jobs() -> HandlerSet {
    [HandlerName::new("bench")].into_iter().collect()
}

/// The event of this number, as the receiver hands it to its inbox.
pub(crate) fn incoming(number: usize, jobs: &HandlerSet) -> Incoming {
    Incoming::new(delivery(body(number)).unwrap(), jobs.clone(), Repeats::Drop)
}
