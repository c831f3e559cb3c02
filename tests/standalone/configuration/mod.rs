//! The settings of the standalone example: where they come from, and what is refused.

mod checking;
mod reloading;
mod serving;
mod settings_dir;
mod tls;
mod trouble;

use support::standalone::{run, within};

use crate::configuration::settings_dir::SettingsDir;

#[tokio::test]
async fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    within(async {
        let place = SettingsDir::with("path = \"/file\"\nattempts = 3\ndrain = \"1m\"");
        let variables = [("VOIPBIN_PATH", "/variable"), ("VOIPBIN_ATTEMPTS", "4")];
        let checked = place.check_with(&["--path", "/flag"], &variables).await;
        for (key, value, origin) in [
            ("path", "\"/flag\"", "flag"),
            ("attempts", "4", "environment"),
            ("drain", "\"1m\"", "file"),
            ("concurrency", "256", "default"),
        ] {
            assert_eq!(
                checked.setting(key),
                (value.to_owned(), origin.to_owned()),
                "{key}"
            );
        }
        let checked = place.check_with(&[], &[("VOIPBIN_DRAIN", "2m")]).await;
        assert_eq!(checked.setting("drain").0, "\"2m\"");
    })
    .await;
}

#[tokio::test]
async fn the_file_can_be_named_by_a_variable_too() {
    within(async {
        let place = SettingsDir::with("path = \"/file\"");
        let other = SettingsDir::with("path = \"/other\"");
        let config = [("VOIPBIN_CONFIG", &*other.settings())];
        assert_eq!(
            place.check_with(&[], &config).await.setting("path").0,
            "\"/file\""
        );
        let checked = run(place.path(), &["--check"], &config).await;
        assert!(checked.stdout.contains("\"/other\""));
    })
    .await;
}

#[tokio::test]
async fn a_flag_takes_back_what_the_file_turns_on() {
    within(async {
        let place = SettingsDir::with("quiet = true\nallow_unsigned = true");
        let checked = place.check_with(&["--quiet=false"], &[]).await;
        assert_eq!(checked.setting("quiet"), ("false".into(), "flag".into()));
        assert_eq!(
            checked.setting("allow_unsigned"),
            ("true".into(), "file".into())
        );
        let checked = place.check_with(&["--quiet"], &[]).await;
        assert_eq!(checked.setting("quiet"), ("true".into(), "flag".into()));
    })
    .await;
}

#[tokio::test]
async fn values_are_written_as_people_write_them() {
    within(async {
        for (line, key) in [
            ("idle_timeout = \"500ms\"", "idle_timeout"),
            ("retain_dead = \"7d\"", "retain_dead"),
            ("retain_done = \"0s\"", "retain_done"),
            ("drain = \"1h 30m\"", "drain"),
            ("body_limit = \"1.5 MiB\"", "body_limit"),
            ("body_limit = 65536", "body_limit"),
            ("max_bytes = \"2 GiB\"", "max_bytes"),
            ("rate_limit = \"500/s\"", "rate_limit"),
            (
                "source_rate_limit = \"3000/min burst 20\"",
                "source_rate_limit",
            ),
            ("secret_file = [\"a\", \"b\"]", "secret_file"),
            ("allow_sources = \"192.0.2.0/24\"", "allow_sources"),
            ("log = \"warn,voipbin_receiver=debug\"", "log"),
            ("inbox = \"memory\"", "inbox"),
            ("quiet = true", "quiet"),
        ] {
            let place = SettingsDir::with(line);
            for secret in ["a", "b"] {
                place.write(secret, &format!("the secret in {secret}"));
            }
            let checked = place.check().await;
            assert_eq!(checked.code, 0, "{line}: {checked:?}");
            assert_eq!(checked.setting(key).1, "file", "{line}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_that_there_is_not_is_refused_with_its_line_and_the_nearest_one() {
    within(async {
        for (key, meant) in [
            ("lisen", "`listen`"),
            ("max_conections", "`max_connections`"),
            ("max-connections", "`max_connections`"),
            ("idle_time_out", "`idle_timeout`"),
            ("secrets", "`secret`"),
            ("Listen", "`listen`"),
            ("config", "`config`"),
            ("check", "`check`"),
            ("help", "`help`"),
            ("", "``"),
            ("a=b", "`a=b`"),
            ("zzz", "--help"),
        ] {
            let place =
                SettingsDir::with(&format!("# a comment\n\npath = \"/a\"\n\"{key}\" = 1\n"));
            let checked = place.check().await;
            assert_eq!(checked.code, 2, "{key}");
            assert!(
                checked
                    .stderr
                    .contains(&format!("settings.toml:4: there is no setting `{key}`")),
                "{checked:?}"
            );
            assert!(checked.stderr.contains(meant), "{key}: {checked:?}");
            assert_eq!(checked.stdout, "");
        }
    })
    .await;
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_file_is_told_at_once_in_the_order_of_its_lines() {
    within(async {
        let place =
            SettingsDir::with("zebra = 1\nlisten = \"nowhere\"\nattempts = 0\n[server]\na = 1");
        let said = place.check().await.stderr;
        let places: Vec<_> = (1..=4)
            .map(|line| said.find(&format!("settings.toml:{line}: ")).unwrap())
            .collect();
        assert!(places.is_sorted(), "{said}");
    })
    .await;
}

#[tokio::test]
async fn a_value_that_makes_no_sense_is_refused_with_its_key_and_its_line_and_not_shown() {
    within(async {
        for line in [
            "listen = \"localhost-xyzzy\"",
            "listen = [\"127.0.0.1:1\"]",
            "path = \"xyzzy\"",
            "idle_timeout = 30",
            "idle_timeout = \"0s\"",
            "drain = \"xyzzy\"",
            "drain = \"-1s\"",
            "body_limit = \"xyzzyB\"",
            "max_connections = 0",
            "max_connections = -1",
            "max_connections = 1.5",
            "max_connections = 0x10",
            "attempts = 99999999999",
            "inbox = \"xyzzy\"",
            "quiet = \"xyzzy\"",
            "rate_limit = \"xyzzy\"",
            "rate_limit = \"0/s\"",
            "rate_limit = \"5/h\"",
            "rate_limit = \"5/s burst 0\"",
            "rate_limit = \"5/s burst xyzzy\"",
            "log_format = \"xyzzy\"",
            "log = \"xyzzy=\u{e9}=1\"",
            "secret = 2026-01-01",
            "secret = [[\"xyzzy\"]]",
            "secret = \"xyzzy,xyzzy\"",
            "retain_done = { days = 1 }",
        ] {
            let place = SettingsDir::with(&format!("\n{line}\n"));
            let checked = place.check().await;
            assert_eq!(checked.code, 2, "{line}: {checked:?}");
            let key = line.split(' ').next().unwrap();
            let said = checked
                .stderr
                .split_once("settings.toml:2: ")
                .map(|(_, said)| said);
            let said = said.unwrap_or_else(|| panic!("{line}: {checked:?}"));
            assert!(said.starts_with(&format!("`{key}`")), "{line}: {said}");
            assert!(
                key == "body_limit" || !said.contains("xyzzy"),
                "{line}: {said}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_value_in_the_file_is_checked_also_where_a_flag_wins_over_it() {
    within(async {
        let place = SettingsDir::with("drain = \"soon\"");
        assert_eq!(place.check_with(&["--drain", "1s"], &[]).await.code, 2);
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_no_toml_is_refused_with_the_line_and_without_what_stands_there() {
    within(async {
        for line in [
            "secret = \"Pa55-word",
            "secret = Pa55-word",
            "secret Pa55-word",
        ] {
            let place = SettingsDir::with(&format!("path = \"/a\"\n{line}\n"));
            let checked = place.check().await;
            assert_eq!(checked.code, 2);
            assert!(checked.stderr.contains("settings.toml:2: "), "{checked:?}");
            assert!(!checked.stderr.contains("Pa55"), "{checked:?}");
        }
        let twice = SettingsDir::with("path = \"/a\"\npath = \"/b\"");
        assert!(twice.check().await.stderr.contains("settings.toml:2: "));
    })
    .await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_an_error_that_names_it() {
    within(async {
        let place = SettingsDir::with("");
        std::fs::remove_file(place.settings()).unwrap();
        let checked = place.check().await;
        assert_eq!(checked.code, 2);
        assert!(checked.stderr.contains("settings.toml"), "{checked:?}");
        // Not UTF-8.
        std::fs::write(place.settings(), [b'#', 0xff]).unwrap();
        assert_eq!(place.check().await.code, 2);
    })
    .await;
}

#[tokio::test]
async fn an_empty_file_says_nothing() {
    within(async {
        let checked = SettingsDir::with("").check().await;
        assert_eq!(checked.code, 0, "{checked:?}");
        // The tests' servers have no inspector, by its variable.
        let mut settings = checked.settings();
        settings.remove("no_inspector").unwrap();
        assert!(settings.values().all(|(_, origin)| origin == "default"));
    })
    .await;
}
