//! Mistakes of configuration, and machines that are too small: what an operator is told.

use std::process::Stdio;
use std::time::Duration;

use support::standalone::{Server, command, paste, program, refuses, within};
use support::{Certificate, SECRET, Wire, call_hangup, with_headers};
use tokio::net::TcpStream;
use tokio::process::Command;
use voipbin_receiver::testing::Signer;

use crate::configuration::settings_dir::SettingsDir;

/// The server with these arguments, and this limit of `ulimit`.
fn limited(place: &SettingsDir, limit: &str, arguments: &[&str]) -> Command {
    let limited = format!("ulimit {limit} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command
        .args(["-c", &limited])
        .arg(program())
        .args(["--listen", "127.0.0.1:0"])
        .args(arguments)
        .current_dir(place.path())
        .env_clear()
        .env("VOIPBIN_NO_INSPECTOR", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn a_server_with_few_files_answers_beside_a_crowd_and_says_why_it_closes_others() {
    within(async {
        let place = SettingsDir::with("");
        let server = Server::run(limited(&place, "-n 64", &["--secret", SECRET])).await;
        let mut crowd = Vec::new();
        for _ in 0..150 {
            crowd.push(TcpStream::connect(server.address).await.unwrap());
        }
        let sender = server.sender(SECRET).pause(Duration::ZERO);
        for id in 1..=3 {
            let sent = sender.send(call_hangup(id)).await;
            assert_eq!(sent.status().unwrap(), 200);
        }
        let before = server.before.join("\n");
        let said = before + &server.stop().await.stderr.join("\n");
        // Once for the limit, once for the crowd at the most.
        assert!(said.matches("WARN").count() <= 2, "{said}");
        assert!(said.contains("too few files"), "{said}");
        drop(crowd);
        let checked = limited(&place, "-n 64", &["--check"])
            .output()
            .await
            .unwrap();
        let said = String::from_utf8(checked.stderr).unwrap();
        assert!(said.contains("may open 64 files"), "{said}");
        // As many connections as there is room for.
        let mut fitting = limited(&place, "-n 64", &["--check"]);
        fitting.args(["--max-connections", "10"]);
        let said = String::from_utf8(fitting.output().await.unwrap().stderr).unwrap();
        assert!(said.contains("as many as there may be: 64"), "{said}");
        assert!(!said.contains("too few"), "{said}");
        // The soft limit is the process's to raise.
        let mut raised = limited(&place, "-Sn 64", &["--check"]);
        let said = String::from_utf8(raised.output().await.unwrap().stderr).unwrap();
        assert!(said.contains("as many as there may be"), "{said}");
        assert!(
            !said.contains("be: 64") && !said.contains("too few"),
            "{said}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_file_that_may_grow_no_more_costs_a_503_and_not_the_process() {
    within(async {
        let place = SettingsDir::with("");
        // In blocks of 512 bytes, or 1,024 in some shells.
        let server = Server::run(limited(&place, "-f 4096", &["--secret", SECRET])).await;
        let sender = server.sender(SECRET).pause(Duration::ZERO);
        let mut statuses = Vec::new();
        for id in 0..8 {
            let filling = "x".repeat(900_000);
            let body =
                format!(r#"{{"type":"call_hangup","data":{{"id":"{id}","x":"{filling}"}}}}"#);
            statuses.push(sender.send(body).await.status().unwrap().as_u16());
        }
        assert_eq!((statuses[0], statuses[7]), (200, 503), "{statuses:?}");
        let health = format!("http://{}/health/live", server.address);
        assert!(
            paste(&format!("curl -sS '{health}'"))
                .await
                .contains("live")
        );
        let said = server.before.join("\n");
        assert!(said.contains("max_bytes"), "{said}");
        assert!(server.stop().await.status.code().is_some());
        let checked = limited(&place, "-f 4096", &["--check"])
            .output()
            .await
            .unwrap();
        assert!(
            String::from_utf8(checked.stderr)
                .unwrap()
                .contains("LimitFSIZE")
        );
    })
    .await;
}

/// Hyper cannot answer at such a time: the sender tries again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[tokio::test]
async fn a_clock_before_1970_is_told_and_nothing_panics() {
    const CLOCK: &str = "
        #include <sys/syscall.h>
        #include <time.h>
        #include <unistd.h>
        int clock_gettime(clockid_t clock, struct timespec *now) {
            int failed = syscall(SYS_clock_gettime, clock, now);
            if (!failed && clock == CLOCK_REALTIME) now->tv_sec -= 3000000000;
            return failed;
        }
    ";
    within(async {
        let place = SettingsDir::with("");
        place.write("clock.c", CLOCK);
        let (source, library) = (place.in_it("clock.c"), place.in_it("clock.so"));
        paste(&format!("cc -shared -fPIC -o {library:?} {source:?}")).await;
        let preload = [("LD_PRELOAD", library.to_str().unwrap())];
        let arguments = ["--secret", SECRET];
        let server = Server::start_in(place.path(), &arguments, &preload).await;
        let sender = server.sender(SECRET).pause(Duration::ZERO);
        assert!(sender.send(call_hangup(1)).await.status().is_none());
        let end = server.stop().await;
        assert!(end.status.success());
        let said = end.stderr.join("\n");
        assert_eq!(said.matches("before 1970").count(), 1, "{said}");
        assert!(!said.contains("panicked"), "{said}");
        let checked = place.check_with(&[], &preload).await;
        assert_eq!(checked.code, 2, "{checked:?}");
        assert!(checked.stderr.contains("before 1970"), "{checked:?}");
    })
    .await;
}

#[tokio::test]
async fn as_many_headers_as_the_settings_allow_are_read() {
    within(async {
        let place = SettingsDir::with(&format!("secret = \"{SECRET}\"\nheader_count_limit = 300"));
        let server = place.serve(&[]).await;
        for (more, status) in [(280, 200), (320, 503)] {
            let body = call_hangup(more);
            let signature = Signer::new(SECRET).sign(body.as_bytes());
            let mut headers = format!(
                "Content-Length: {}\r\nX-Voipbin-Signature: {signature}\r\n",
                body.len()
            );
            headers.extend((0..more).map(|place| format!("x-{place}: 1\r\n")));
            let mut wire = Wire::connect(server.address).await;
            wire.write(&with_headers("POST", &headers, &body)).await;
            assert_eq!(wire.read().await.status, status, "{more}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_delivery_to_another_path_is_told_and_counted() {
    within(async {
        let place = SettingsDir::with(&format!("secret = \"{SECRET}\"\npath = \"/here\""));
        let mut server = place.serve(&["--metrics-listen", "127.0.0.1:0"]).await;
        let metrics = server.told("metrics on ").await;
        server.url = server.url.replace("/here", "/here/");
        let sent = server.send(SECRET, &call_hangup(1)).await;
        assert_eq!(sent.status().unwrap(), 404);
        assert!(server.logged("another path").await.contains("WARN"));
        // A stranger's tells nothing.
        assert_eq!(server.answer_unsigned("{}").await, 404);
        let scraped = paste(&format!("curl -sS '{metrics}'")).await;
        let counted = "voipbin_deliveries_total{outcome=\"refused\",reason=\"path\"} 1";
        assert!(scraped.contains(counted), "{scraped}");
    })
    .await;
}

#[tokio::test]
async fn empty_variables_are_named() {
    within(async {
        for variables in [
            &[("VOIPBIN_SECRET", "")][..],
            &[("VOIPBIN_MAX_CONNECTIONS", "")],
            &[("VOIPBIN_ALLOW_SOURCES", ""), ("VOIPBIN_PATH", "")],
        ] {
            let said = refuses(&["--listen", "127.0.0.1:0"], variables).await;
            for (name, _) in variables {
                assert!(said.contains(name), "{said}");
            }
            assert!(said.contains("set and empty"), "{said}");
        }
        let said = refuses(&["--secret", "", "--listen", "127.0.0.1:0"], &[]).await;
        assert_eq!(said.matches("empty").count(), 1, "{said}");
        let place = SettingsDir::with("");
        let mut tools = command(place.path(), &["inbox", "--help"], &[("VOIPBIN_PATH", "")]);
        assert!(tools.status().await.unwrap().success());
    })
    .await;
}

#[tokio::test]
async fn what_has_no_effect_is_named() {
    within(async {
        let place = SettingsDir::with("inbox = \"memory\"\nretain_dead = \"1d\"\nmax_dead = 5");
        let variables = [
            ("VOIPBIN_SECRETFILE", "not-shown"),
            ("VOIPBIN_PORT", "5000"),
            ("VOIPBIN_SERVICE_HOST", "10.0.0.1"),
            ("VOIPBIN_HANDSHAKE_TIMEOUT", "5s"),
        ];
        let checked = place
            .check_with(&["--directory", "elsewhere"], &variables)
            .await;
        assert_eq!(checked.code, 0, "{checked:?}");
        let lines: Vec<&str> = checked.stderr.lines().collect();
        let told = |names: [&str; 2]| {
            let mut lines = lines.iter().filter(|line| line.contains("no effect"));
            lines.any(|line| names.iter().all(|name| line.contains(name)))
        };
        for names in [
            ["retain_dead", "in memory"],
            ["directory", "not on disk"],
            ["handshake_timeout", "no certificate"],
            ["VOIPBIN_SECRETFILE", "VOIPBIN_SECRET_FILE"],
            ["VOIPBIN_PORT", "no setting"],
        ] {
            assert!(told(names), "{names:?}: {checked:?}");
        }
        assert_eq!(
            checked.stderr.matches("no effect").count(),
            5,
            "{checked:?}"
        );
        assert!(!checked.stderr.contains("not-shown"));
        assert!(
            !SettingsDir::with("")
                .check()
                .await
                .stderr
                .contains("no effect")
        );
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_a_problem() {
    within(async {
        let mut certificate = Certificate::new();
        let settings = format!(
            "tls_cert = {:?}\ntls_key = {:?}",
            certificate.chain(),
            certificate.key()
        );
        let place = SettingsDir::with(&settings);
        assert_eq!(place.check().await.code, 0);
        certificate.end();
        let checked = place.check().await;
        assert_eq!(checked.code, 2, "{checked:?}");
        assert!(checked.stderr.contains("certificate ended"), "{checked:?}");
        let mut server = place.serve(&["--metrics-listen", "127.0.0.1:0"]).await;
        let metrics = server.told("metrics on ").await;
        let scraped = paste(&format!("curl -sS '{metrics}'")).await;
        let ended = "voipbin_certificate_expiry_timestamp_seconds 1577836800";
        assert!(scraped.contains(ended), "{scraped}");
        let said = server.stop().await.stderr.join("\n");
        assert!(!said.contains("is valid"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn probes_may_ask_for_the_methods() {
    within(async {
        let place = SettingsDir::with("");
        let server = place.serve(&[]).await;
        let health = format!("http://{}/health/live", server.address);
        let asked = paste(&format!("curl -sS -i -X OPTIONS '{health}'")).await;
        assert!(asked.starts_with("HTTP/1.1 204"), "{asked}");
        assert!(asked.to_lowercase().contains("allow: get, head"), "{asked}");
    })
    .await;
}

#[tokio::test]
async fn the_command_that_signs_an_event_by_hand_works() {
    within(async {
        let place = SettingsDir::with("");
        let mut server = place.serve(&["--secret", SECRET]).await;
        let event = server.told("event='").await;
        let curl = server.printed_command().await;
        let signing = format!("export VOIPBIN_SECRET='{SECRET}'\nevent='{event}\n{curl}");
        assert_eq!(paste(&signing).await, r#"{"status":"received"}"#);
        assert_eq!(server.event().await["event"], "call_hangup");
    })
    .await;
}
