//! `--check`.

use support::standalone::within;
use support::{SECRET, call_hangup};

use crate::configuration::settings_dir::SettingsDir;

#[tokio::test]
async fn what_it_prints_is_a_file_with_the_same_settings() {
    within(async {
        let place = SettingsDir::with(
            "path = \"/a\"\nsecret_file = [\"one\", \"two\"]\nallow_sources = [\"192.0.2.0/24\", \"::1\"]\n\
             rate_limit = \"5/s burst 9\"\nlog = \"warn\"\nmax_events = 7\nquiet = true\n\
             directory = \"with \\\"quotes\\\" and \\\\\"",
        );
        for secret in ["one", "two"] {
            place.write(secret, &format!("the secret in {secret}"));
        }
        let checked = place.check().await;
        assert_eq!(checked.code, 0, "{checked:?}");
        place.write("settings.toml", &checked.stdout);
        let again = place.check().await;
        assert_eq!(again.code, 0, "{again:?}");
        let values = |settings: std::collections::BTreeMap<String, (String, String)>| {
            let values = settings.into_iter().map(|(key, (value, _))| (key, value));
            values.collect::<Vec<_>>()
        };
        assert_eq!(values(again.settings()), values(checked.settings()));
        // The tests' servers have no inspector, by its variable.
        let mut settings = again.settings();
        settings.remove("no_inspector").unwrap();
        assert!(settings.values().all(|(_, origin)| origin == "file"));
    })
    .await;
}

#[tokio::test]
async fn no_secret_is_shown_wherever_it_comes_from() {
    within(async {
        let place =
            SettingsDir::with("secret = [\"Pa55-one\", \"Pa55-two\"]\nsecret_file = \"three\"");
        place.write("three", "Pa55-three\n");
        for (arguments, environment) in [
            (&[][..], &[][..]),
            (&["--secret", "Pa55-four"], &[]),
            (&[], &[("VOIPBIN_SECRET", "Pa55-five")]),
        ] {
            let checked = place.check_with(arguments, environment).await;
            assert_eq!(checked.code, 0, "{checked:?}");
            assert!(checked.setting("secret").0.contains("redacted"));
            assert!(!format!("{checked:?}").contains("Pa55"), "{checked:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn whatever_would_keep_the_server_from_starting_is_found() {
    within(async {
        for (settings, said) in [
            ("secret = \"\"", "empty"),
            ("secret = \" padded\"", "blanks"),
            ("secret_file = \"not-there\"", "not-there"),
            ("secret_file = [\"same\", \"same\"]", "label"),
            ("listen = \"0.0.0.0:5000\"", "no secret"),
            ("allow_sources = \"192.0.2.0/33\"", "allow_sources"),
            ("trust_proxies = [\"10.1.0.1/16\"]", "10.1.0.0/16"),
            ("max_event_age = \"2h\"", "max_event_age"),
            ("max_event_age = \"10s\"", "max_event_age"),
            ("body_limit = 0", "body_limit"),
            ("directory = \"settings.toml\"", "settings.toml"),
            ("directory = \"settings.toml/in-a-file\"", "settings.toml"),
            ("directory = \"/proc/voipbin/inbox\"", "/proc"),
            ("directory = \"damaged\"", "damaged"),
            (
                "secret_file = \"same\"\nlisten = \"192.0.2.1:5000\"",
                "cannot listen",
            ),
            ("metrics_listen = \"192.0.2.1:9464\"", "cannot listen"),
            (
                "listen = \"127.0.0.1:5000\"\nmetrics_listen = \"127.0.0.1:5000\"",
                "127.0.0.1:5000",
            ),
        ] {
            let place = SettingsDir::with(settings);
            place.write("same", "a secret");
            std::fs::create_dir(place.in_it("damaged")).unwrap();
            std::fs::write(place.in_it("damaged/inbox.db"), "not a database").unwrap();
            let checked = place.check().await;
            assert_eq!(checked.code, 2, "{settings}: {checked:?}");
            assert!(checked.stderr.contains(said), "{settings}: {checked:?}");
        }
    })
    .await;
}

/// It may be the server's that is to be replaced, or a supervisor's that will hand it down.
#[tokio::test]
async fn an_address_that_somebody_has_is_told() {
    within(async {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let place = SettingsDir::with(&format!("secret = \"{SECRET}\"\nlisten = \"{address}\""));
        let checked = place.check().await;
        assert_eq!(checked.code, 0, "{checked:?}");
        let told = format!("{address} is in use");
        assert!(checked.stderr.contains(&told), "{checked:?}");
    })
    .await;
}

#[tokio::test]
async fn all_problems_are_told_and_not_the_first_alone() {
    within(async {
        let place = SettingsDir::with("secret_file = \"not-there\"\ndirectory = \"settings.toml\"");
        let said = place.check().await.stderr;
        assert_eq!(said.matches("error: ").count(), 2, "{said}");
    })
    .await;
}

#[tokio::test]
async fn looking_leaves_nothing_behind() {
    within(async {
        let place = SettingsDir::with("secret = \"a secret\"");
        assert_eq!(place.check().await.code, 0);
        let names = std::fs::read_dir(place.path()).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["settings.toml"]);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_runs_is_not_disturbed() {
    within(async {
        let place = SettingsDir::with(&format!("secret = \"{SECRET}\""));
        let mut server = place.serve(&[]).await;
        let checked = place.check().await;
        assert_eq!(checked.code, 0, "{checked:?}");
        assert!(checked.stderr.contains("in use"), "{checked:?}");
        assert_eq!(server.answer(SECRET, &call_hangup(1)).await, 200);
        server.event().await;
        assert_eq!(server.stop().await.status.code(), Some(0));
        // And looks into the inbox that it leaves.
        assert_eq!(place.check().await.code, 0);
    })
    .await;
}

#[tokio::test]
async fn a_file_with_a_secret_that_everybody_can_read_is_warned_of() {
    within(async {
        let place = SettingsDir::with("secret = \"a secret\"\nsecret_file = \"other\"");
        place.write("other", "another secret");
        assert!(!place.check().await.stderr.contains("chmod"));
        for (name, other) in [("settings.toml", "other"), ("other", "settings.toml")] {
            place.set_mode(name, 0o644);
            place.set_mode(other, 0o640);
            let checked = place.check().await;
            assert_eq!(checked.code, 0, "{checked:?}");
            let mut warnings = checked.stderr.lines().filter(|line| line.contains("chmod"));
            assert!(warnings.next().unwrap().contains(name), "{checked:?}");
            assert_eq!(warnings.next(), None);
        }
        // Without a secret in it there is nothing to hide.
        place.write("settings.toml", "quiet = true");
        place.set_mode("settings.toml", 0o644);
        assert!(!place.check().await.stderr.contains("chmod"));
    })
    .await;
}

#[tokio::test]
async fn the_tools_of_the_inbox_are_none_of_what_it_checks() {
    within(async {
        let place = SettingsDir::with("");
        assert_eq!(place.check_with(&["inbox", "list"], &[]).await.code, 2);
    })
    .await;
}
