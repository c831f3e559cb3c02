//! What a receiver tells of a signature that does not fit, and whom.

use http::HeaderName;
use support::{Recorder, call_hangup, fixtures, signed};
use voipbin_receiver::Receiver;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::gate::Secret;
use voipbin_receiver::testing::Signer;

const SECRET: &str = "a secret that no other test here has";

/// Every sample, parsed and printed by serde_json, as a framework with a body parser hands it on.
#[test]
fn a_sample_that_a_framework_wrote_anew_is_told_from_one_of_another_secret() {
    let receiver = Receiver::builder()
        .secret(Secret::from(SECRET).with_label("ours"))
        .on(Any, Recorder::new())
        .build()
        .unwrap();
    let secrets = receiver.secrets();
    let mut reprinted = 0;
    for (name, body) in fixtures() {
        let request = Signer::new(SECRET).request("/".parse().unwrap(), body.clone());
        assert!(
            secrets.diagnose(request.headers(), &body).is_verified(),
            "{name}"
        );

        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        let compact: Box<serde_json::value::RawValue> = serde_json::from_slice(&body).unwrap();
        let spaced = compact.get().replacen(':', ": ", 1);
        if name.contains("today") {
            let diagnosis = secrets.diagnose(request.headers(), spaced.as_bytes());
            assert_eq!(diagnosis.code(), "body_rewritten", "{name}: {diagnosis}");
            let diagnosis = secrets.diagnose(request.headers(), &pretty);
            assert_eq!(diagnosis.code(), "body_rewritten", "{name}: {diagnosis}");
            let other =
                Signer::new("of another customer").request("/".parse().unwrap(), body.clone());
            let diagnosis = secrets.diagnose(other.headers(), &body);
            assert_eq!(diagnosis.code(), "other_secret", "{name}");
            reprinted += 1;
        }
    }
    assert!(reprinted > 50);
}

#[test]
fn a_receiver_diagnoses_with_its_own_header() {
    let receiver = Receiver::builder()
        .secret(support::SECRET)
        .signature_header(HeaderName::from_static("x-signature"))
        .on(Any, Recorder::new())
        .build()
        .unwrap();
    let request = signed(call_hangup(1));
    let body = call_hangup(1);
    let secrets = receiver.secrets();
    let diagnosis = secrets.diagnose(request.headers(), body.as_bytes());
    assert_eq!(diagnosis.code(), "header_missing");
}
