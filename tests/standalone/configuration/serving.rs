//! What settings do to a server that runs.

use std::time::Duration;

use serde_json::Value;
use support::standalone::{Server, command, paste, run, within};
use support::{SECRET, call_hangup};

use crate::configuration::settings_dir::SettingsDir;

#[tokio::test]
async fn a_file_is_all_that_a_server_needs() {
    within(async {
        let place = SettingsDir::with(
            "listen = \"127.0.0.1:0\"\npath = \"/elsewhere\"\nsecret_file = \"secret\"\ninbox = \"memory\"\n\
             quiet = true\nlog_format = \"json\"\nlog = \"info\"\n",
        );
        place.write("secret", SECRET);
        let settings = place.settings();
        let server = Server::run(command(place.path(), &["--config", &settings], &[])).await;
        assert!(server.url.ends_with("/elsewhere"));
        assert_eq!(server.answer(SECRET, &call_hangup(1)).await, 200);
        let end = server.stop().await;
        assert_eq!(end.status.code(), Some(0));
        assert_eq!(end.stdout, [""; 0]);
        let last = end.stderr.last().unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!(last["fields"]["handled"], 1);
        assert!(!place.in_it("voipbin-inbox").exists());
    })
    .await;
}

#[tokio::test]
async fn what_comes_in_is_held_to_the_limits() {
    within(async {
        for (limit, status) in [
            ("body_limit = 10", 413),
            ("header_limit = \"100 B\"", 503),
            ("header_count_limit = 2", 503),
            ("allow_sources = \"192.0.2.0/24\"", 503),
            ("rate_limit = \"1/min\"", 503),
            ("source_rate_limit = \"1/min\"", 503),
        ] {
            let place = SettingsDir::with(&format!("secret = \"{SECRET}\"\n{limit}"));
            let server = place.serve(&[]).await;
            let sender = server.sender(SECRET).pause(Duration::ZERO);
            let _ = sender.send(call_hangup(1)).await;
            let second = sender.send(call_hangup(2)).await;
            assert_eq!(second.status().unwrap(), status, "{limit}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_proxy_is_believed_where_the_settings_say_so() {
    within(async {
        let sources = "allow_sources = \"192.0.2.0/24\"";
        for (proxies, status) in [("", "503"), ("trust_proxies = \"127.0.0.0/8\"", "200")] {
            let place = SettingsDir::with(&format!("{sources}\n{proxies}"));
            let mut server = place.serve(&[]).await;
            let as_a_proxy =
                "curl -sS -o /dev/null -w '%{http_code}' -H 'X-Forwarded-For: 192.0.2.9' ";
            let curl = server
                .printed_command()
                .await
                .replacen("curl ", as_a_proxy, 1);
            assert_eq!(paste(&curl).await, status, "{proxies}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_tools_find_the_directory_of_the_inbox_in_the_file() {
    within(async {
        let place = SettingsDir::with(&format!("secret = \"{SECRET}\"\ndirectory = \"kept-here\""));
        let mut server = place.serve(&[]).await;
        assert_eq!(server.answer(SECRET, &call_hangup(1)).await, 200);
        server.event().await;
        server.stop().await;
        let settings = place.settings();
        for (arguments, environment) in [
            (
                &["inbox", "list", "--json", "--config", &settings][..],
                &[][..],
            ),
            (&["inbox", "--config", &settings, "list", "--json"], &[]),
            (
                &["inbox", "list", "--json"],
                &[("VOIPBIN_CONFIG", &*settings)],
            ),
        ] {
            let listed = run(place.path(), arguments, environment).await;
            assert_eq!(listed.code, 0, "{listed:?}");
            assert_eq!(listed.stdout.lines().count(), 1);
        }
        let elsewhere = [
            "inbox",
            "list",
            "--config",
            &settings,
            "--directory",
            "elsewhere",
        ];
        let listed = run(place.path(), &elsewhere, &[]).await;
        assert!(listed.stderr.contains("elsewhere"));
    })
    .await;
}
