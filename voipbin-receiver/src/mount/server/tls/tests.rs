#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::error::Error as _;
use std::fs;
use std::process::Command;
use std::time::Duration;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::connection::{Waiting, peer_service};
use super::super::tests::{FixedAnswer, PEER};
use super::*;

struct Files {
    directory: TempDir,
    made: CertifiedKey<KeyPair>,
}

fn make() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["hooks.example.com".to_owned()]).unwrap()
}

impl Files {
    fn new() -> Self {
        let files = Self {
            directory: tempfile::tempdir().unwrap(),
            made: make(),
        };
        files.write_certificates(&files.made.cert.pem());
        files.write_key(&files.made.signing_key.serialize_pem());
        files
    }

    fn certificates(&self) -> PathBuf {
        self.directory.path().join("fullchain.pem")
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("privkey.pem")
    }

    fn write_certificates(&self, pem: &str) {
        fs::write(self.certificates(), pem).unwrap();
    }

    fn write_key(&self, pem: &str) {
        fs::write(self.key(), pem).unwrap();
    }

    fn read(&self) -> Result<Tls, TlsError> {
        Tls::from_pem_files(self.certificates(), self.key())
    }

    fn assert_refused(&self, kind: TlsErrorKind, path: PathBuf) -> TlsError {
        let error = self.read().unwrap_err();
        assert_eq!((error.kind(), error.path()), (kind, path.as_path()));
        error
    }
}

fn pem(label: &str, base64: &str) -> String {
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

#[test]
fn a_pipe_in_the_place_of_a_file_holds_up_no_reload() {
    let files = Files::new();
    let tls = files.read().unwrap();
    for path in [files.certificates(), files.key()] {
        fs::remove_file(&path).unwrap();
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        assert_eq!(tls.reload().unwrap_err().kind(), TlsErrorKind::Unreadable);
    }
}

#[test]
fn both_may_be_in_one_file_among_other_things() {
    let files = Files::new();
    let both = format!(
        "some words\n{}{}",
        files.made.signing_key.serialize_pem(),
        files.made.cert.pem()
    );
    files.write_certificates(&both);
    assert!(Tls::from_pem_files(files.certificates(), files.certificates()).is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_cause() {
    let files = Files::new();
    fs::remove_file(files.key()).unwrap();
    let error = files.assert_refused(TlsErrorKind::Unreadable, files.key());
    assert!(error.source().is_some());
    fs::remove_file(files.certificates()).unwrap();
    files.assert_refused(TlsErrorKind::Unreadable, files.certificates());
}

#[test]
fn files_that_were_mistaken_for_each_other_are_told_apart() {
    let files = Files::new();
    let swapped = Tls::from_pem_files(files.key(), files.certificates());
    assert_eq!(swapped.unwrap_err().kind(), TlsErrorKind::NoCertificate);
    let twice = Tls::from_pem_files(files.certificates(), files.certificates());
    assert_eq!(twice.unwrap_err().kind(), TlsErrorKind::NoKey);
}

#[test]
fn an_encrypted_key_is_none_that_can_be_used() {
    let files = Files::new();
    files.write_key(&pem("ENCRYPTED PRIVATE KEY", "MAA="));
    files.assert_refused(TlsErrorKind::NoKey, files.key());
}

#[test]
fn half_a_file_is_damaged() {
    let files = Files::new();
    let whole = files.made.signing_key.serialize_pem();
    let (half, _) = whole.split_at(whole.len() / 2);
    files.write_key(half);
    files.assert_refused(TlsErrorKind::NotPem, files.key());
    files.write_certificates(&pem("CERTIFICATE", "!!!!"));
    files.assert_refused(TlsErrorKind::NotPem, files.certificates());
}

#[test]
fn what_is_in_the_file_must_be_a_certificate_or_a_key() {
    let files = Files::new();
    files.write_key(&pem("PRIVATE KEY", "MAA="));
    files.assert_refused(TlsErrorKind::UnusableKey, files.key());
    files.write_key(&files.made.signing_key.serialize_pem());
    files.write_certificates(&pem("CERTIFICATE", "MAA="));
    files.assert_refused(TlsErrorKind::UnusableCertificate, files.certificates());
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    let files = Files::new();
    files.write_key(&make().signing_key.serialize_pem());
    files.assert_refused(TlsErrorKind::Mismatch, files.key());
}

#[test]
fn a_failed_reload_leaves_what_was_in_use() {
    let files = Files::new();
    let tls = files.read().unwrap();
    let before = tls.0.current.load_full();
    files.write_certificates(&make().cert.pem());
    assert_eq!(tls.reload().unwrap_err().kind(), TlsErrorKind::Mismatch);
    assert!(Arc::ptr_eq(&before, &tls.0.current.load_full()));
}

#[test]
fn nothing_of_a_key_is_shown() {
    let files = Files::new();
    let key = files.made.signing_key.serialize_pem();
    let lines: Vec<_> = key
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    assert!(!lines.is_empty());
    let tls = files.read().unwrap();
    let damaged = key.replace("-----END", "?-----END");
    files.write_key(&damaged);
    let error = tls.reload().unwrap_err();
    let server = Server::new().tls(tls);
    for shown in [format!("{server:?}"), format!("{error:?} {error}")] {
        assert!(!lines.iter().any(|line| shown.contains(line)), "{shown}");
    }
}

/// A server's side of a connection, with its client's.
fn connect(files: &Files) -> (DuplexStream, Arc<Conn>, JoinHandle<()>) {
    let (client, stream) = tokio::io::duplex(1 << 16);
    let server = Server::new().tls(files.read().unwrap());
    let conn = Arc::new(Conn::new(Arc::default()));
    let service = peer_service(FixedAnswer::new(b"ok"), PEER, &conn);
    let served = server
        .transport
        .serve(stream, service, server.limits, Arc::clone(&conn));
    (client, conn, tokio::spawn(served))
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_its_own_time_however_it_comes() {
    let (mut client, _conn, served) = connect(&Files::new());
    let begun = Instant::now();
    // The header of a record of 512 bytes.
    for byte in [22, 3, 1, 2, 0, 1] {
        client.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    served.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_handshake_is_closed_at_once() {
    let files = Files::new();
    for words in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 100], &[0; 100]] {
        let (mut client, _conn, served) = connect(&files);
        let begun = Instant::now();
        client.write_all(words).await.unwrap();
        served.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        assert!(!told.starts_with(b"HTTP"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_with_its_handshake_has_not_waited_before() {
    let (mut client, conn, _served) = connect(&Files::new());
    let part_of_a_hello = [22, 3, 1, 2, 0];
    for byte in part_of_a_hello {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
        let since = Instant::now();
        assert_eq!(conn.waiting(), Some(Waiting::Idle { since }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_a_handshake_is_idle_and_closes_when_it_is_told_to() {
    let (_client, conn, served) = connect(&Files::new());
    let begun = Instant::now();
    assert!(conn.is_idle());
    conn.close();
    served.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[test]
fn the_certificate_that_expires_first_counts_also_an_issuers() {
    let files = Files::new();
    let tls = files.read().unwrap();
    let unless_said = rcgen::date_time_ymd(4096, 1, 1);
    assert_eq!(tls.expires(), Some(unless_said.into()));
    let mut parameters = rcgen::CertificateParams::new(["An authority".to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    for expired in [(1980, 1, 1), (2020, 1, 2), (2060, 1, 2), (9999, 12, 31)] {
        let (year, month, day) = expired;
        parameters.not_after = rcgen::date_time_ymd(year, month, day);
        let issuer = parameters.self_signed(&files.made.signing_key).unwrap();
        files.write_certificates(&format!("{}{}", files.made.cert.pem(), issuer.pem()));
        tls.reload().unwrap();
        let first = parameters.not_after.min(unless_said);
        assert_eq!(tls.expires(), Some(first.into()), "{expired:?}");
    }
}
