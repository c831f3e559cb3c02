//! The tools that look into the inbox of the standalone example, with a server and without one.

mod beside_a_server;
mod hostile;
mod offline;
mod seed;

use support::standalone::{run, within};

use crate::inbox_tools::seed::InboxDir;

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_says_what_would() {
    within(async {
        let place = InboxDir::seeded().await;
        for (arguments, says) in [
            (&["replay"][..], "--all"),
            (&["discard", "--dry-run"], "--all"),
            (&["replay", "--by", "event"], "--all"),
            (&["replay", "3", "--state", "dead"], "--state"),
            (&["replay", "3", "--all"], "--all"),
            (&["list", "--state", "granite"], "pending"),
            (&["list", "--before", "yesterday"], "2h"),
            (&["list", "--after", "2h30"], "2h"),
            (&["purge", "--older-than", "7"], "7d"),
            (&["show"], "<ID>"),
            (&["show", "abc"], "abc"),
            (&["erase"], "--number"),
            (&["erase", "--number", "5551234567"], "+15551234567"),
            (&["backup"], "<FILE>"),
            (&["granite"], "granite"),
            (&[], "list"),
        ] {
            let ran = place.run(arguments).await;
            assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
            assert!(ran.stderr.contains(says), "{arguments:?}: {ran:?}");
            assert_eq!(ran.stdout, "", "{arguments:?}");
        }
        assert_eq!(place.ids(&[]).await, [1, 2, 3, 4, 5, 6]);
    })
    .await;
}

#[tokio::test]
async fn the_options_of_the_server_are_none_of_the_tools() {
    within(async {
        let place = InboxDir::seeded().await;
        let arguments = ["--listen", "127.0.0.1:0", "inbox", "list"];
        assert_eq!(run(place.path(), &arguments, &[]).await.code, 2);

        let environment = [
            ("VOIPBIN_LISTEN", "127.0.0.1:0"),
            ("VOIPBIN_SECRET", "Pa55-word"),
            ("VOIPBIN_INBOX", "memory"),
        ];
        let arguments = ["inbox", "list"];
        assert_eq!(run(place.path(), &arguments, &environment).await.code, 0);
    })
    .await;
}

#[tokio::test]
async fn help_names_every_tool_and_what_it_takes() {
    within(async {
        let place = InboxDir::empty();
        let text = place.get(&["--help"]).await;
        for name in [
            "list",
            "show",
            "replay",
            "discard",
            "purge",
            "export",
            "backup",
            "erase",
            "salvage",
            "--directory",
            "VOIPBIN_DIRECTORY",
        ] {
            assert!(text.contains(name), "{name}");
        }
        for (tool, options) in [
            ("list", &["--limit", "--after-id", "--json"][..]),
            ("replay", &["--by", "--all", "--dry-run"]),
            ("purge", &["--dead", "--older-than"]),
        ] {
            let text = place.get(&[tool, "--help"]).await;
            for option in options {
                assert!(text.contains(option), "{tool} {option}");
            }
        }
    })
    .await;
}
