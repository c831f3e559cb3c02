//! How failures are told, and what is not.

use std::error::Error;
use std::time::Duration;

use support::platform::{ACCESS_KEY, Fault, LOGIN, Platform};
use support::{Certificate, SECRET, within};
use voipbin_receiver::platform::{Credential, PlatformErrorKind as Kind};

use crate::platform::{HOOK, builder, client};

/// The error with all that it came from.
fn in_full(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn each_failure_has_its_kind_and_shows_nobodys_data() {
    within(async {
        let stand_in = Platform::start().await;
        let platform = builder(&stand_in)
            .timeout(Duration::from_millis(500))
            .build()
            .unwrap();
        for (fault, kind) in [
            (
                Fault::Error(401, "INVALID_CREDENTIALS"),
                Kind::Authentication,
            ),
            (Fault::Error(403, "PERMISSION_DENIED"), Kind::Permission),
            (Fault::Error(404, "CUSTOMER_NOT_FOUND"), Kind::NotFound),
            (Fault::Error(404, "ROUTE_NOT_FOUND"), Kind::NoRoute),
            (Fault::Error(409, "STATE_INVALID"), Kind::Conflict),
            (Fault::Error(400, "INVALID_JSON_BODY"), Kind::Rejected),
            (Fault::Error(500, "INTERNAL"), Kind::Unavailable),
            (Fault::Error(503, "REQUEST_TIMEOUT"), Kind::Unavailable),
            (Fault::Redirect, Kind::Redirect),
            (Fault::Close, Kind::Broken),
            (Fault::Silence, Kind::Timeout),
            (Fault::Page, Kind::Unreadable),
        ] {
            stand_in.fail([fault]);
            let error = platform.customer().await.unwrap_err();
            assert_eq!(error.kind(), kind, "{fault:?}");
            if let Fault::Error(status, reason) = fault {
                assert_eq!(error.status().unwrap().as_u16(), status);
                assert_eq!(
                    (error.reason(), error.request_id()),
                    (Some(reason), Some("req-0123"))
                );
            }
            let shown = in_full(&error);
            for hidden in [ACCESS_KEY, SECRET, "example.com"] {
                assert!(!shown.contains(hidden), "{shown}");
            }
        }
        // A redirect was not followed, nor anything else sent twice.
        assert_eq!(stand_in.seen().len(), 12);
        assert!(
            !stand_in
                .lines()
                .iter()
                .any(|line| line.contains("elsewhere"))
        );
        platform.customer().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_not_read_to_its_end() {
    within(async {
        let stand_in = Platform::start().await;
        stand_in.fail([Fault::Endless]);
        let error = client(&stand_in).customer().await.unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge);
    })
    .await;
}

#[tokio::test]
async fn nobody_who_listens_is_told_from_a_certificate_that_is_not_trusted() {
    within(async {
        let certificate = Certificate::for_name("localhost");
        let stand_in = Platform::start_tls(&certificate.chain(), &certificate.key()).await;
        let error = client(&stand_in).customer().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Tls);

        let trusting = builder(&stand_in).ca_file(certificate.chain()).unwrap();
        trusting.build().unwrap().customer().await.unwrap();

        let no_certificate = builder(&stand_in).ca_file(certificate.key()).unwrap_err();
        assert_eq!(no_certificate.kind(), Kind::Certificate);

        let nobody = builder(&stand_in)
            .base_url("http://127.0.0.1:1")
            .build()
            .unwrap();
        assert_eq!(nobody.customer().await.unwrap_err().kind(), Kind::Connect);
    })
    .await;
}

#[tokio::test]
async fn a_credential_never_goes_in_plain_text_to_another_machine() {
    within(async {
        let stand_in = Platform::start().await;
        let elsewhere = builder(&stand_in).base_url("http://pbx.example.com");
        assert_eq!(elsewhere.build().unwrap_err().kind(), Kind::Url);
        let cut = builder(&stand_in).credential(Credential::access_key("vb_a\nb"));
        assert_eq!(cut.build().unwrap_err().kind(), Kind::Credential);
    })
    .await;
}

#[tokio::test]
async fn debug_shows_no_credential_no_secret_and_nobodys_data() {
    within(async {
        let stand_in = Platform::start().await;
        let platform = client(&stand_in);
        let customer = platform.customer().await.unwrap();
        let destination = platform.destination().without_probe();
        let change = destination
            .set(&format!("{HOOK}?password=1"), "POST")
            .await
            .unwrap();
        let token = Credential::token(LOGIN.1);
        let shown = format!(
            "{platform:?} {:?} {customer:?} {destination:?} {change:?} {token:?} {:?}",
            builder(&stand_in),
            customer.webhook_secret,
        );
        for hidden in [
            ACCESS_KEY,
            SECRET,
            LOGIN.1,
            "example.com",
            "+1555",
            "password=1",
        ] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    })
    .await;
}
