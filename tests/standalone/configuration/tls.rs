//! A certificate of the server's own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use support::standalone::{paste, within};
use support::{Certificate, offering, tls_connect};

use crate::configuration::settings_dir::SettingsDir;

/// Names the files of a certificate.
fn settings(certificate: &Certificate) -> String {
    let (chain, key) = (certificate.chain(), certificate.key());
    format!("tls_cert = {chain:?}\ntls_key = {key:?}\nreload_interval = \"0s\"")
}

#[tokio::test]
async fn a_server_with_a_certificate_speaks_tls_and_nothing_else() {
    within(async {
        let certificate = Certificate::new();
        std::fs::set_permissions(certificate.key(), Permissions::from_mode(0o644)).unwrap();
        let place = SettingsDir::with(&settings(&certificate));
        let mut server = place.serve(&[]).await;
        assert!(server.url.starts_with("https://"));
        let checked = place.check().await;
        assert_eq!(checked.code, 0, "{checked:?}");
        let warning = checked.stderr.lines().find(|line| line.contains("chmod"));
        assert!(warning.unwrap().contains("privkey.pem"), "{checked:?}");
        let curl = server.printed_command().await;
        let trusting = "curl -sS --insecure ";
        let answer = paste(&curl.replacen("curl ", trusting, 1)).await;
        assert_eq!(answer, r#"{"status":"received"}"#);
        assert_eq!(server.event().await["event"], "call_hangup");
        let plain = curl
            .replace("https://", "http://")
            .replacen("curl ", "! curl -sS --fail ", 1);
        paste(&plain).await;
        assert_eq!(server.stop().await.status.code(), Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_hangup_has_the_certificate_read_again() {
    within(async {
        let mut certificate = Certificate::new();
        let place = SettingsDir::with(&settings(&certificate));
        let mut server = place.serve(&[]).await;
        let trusting = |certificate: &Certificate| offering(&[], [certificate]);
        let before = trusting(&certificate);
        assert!(tls_connect(server.address, before.clone()).await.is_ok());
        certificate.renew();
        server.signal("HUP").await;
        server.logged("read again").await;
        assert!(
            tls_connect(server.address, trusting(&certificate))
                .await
                .is_ok()
        );
        assert!(tls_connect(server.address, before).await.is_err());

        std::fs::write(certificate.key(), "no key").unwrap();
        server.signal("HUP").await;
        server.logged("the one before stays in use").await;
        assert!(
            tls_connect(server.address, trusting(&certificate))
                .await
                .is_ok()
        );
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_found_before_the_start() {
    within(async {
        let (one, other) = (Certificate::new(), Certificate::new());
        let (chain, key) = (one.chain(), one.key());
        for settings in [
            format!("tls_cert = {chain:?}"),
            format!("tls_key = {key:?}"),
            format!("tls_cert = {chain:?}\ntls_key = {:?}", other.key()),
            format!("tls_cert = {chain:?}\ntls_key = \"not-there\""),
            format!("tls_cert = {key:?}\ntls_key = {key:?}"),
        ] {
            let checked = SettingsDir::with(&settings).check().await;
            assert_eq!(checked.code, 2, "{settings}: {checked:?}");
            assert!(!checked.stderr.contains("PRIVATE"), "{checked:?}");
        }
    })
    .await;
}
