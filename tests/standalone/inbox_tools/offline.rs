//! Without a server.

use std::process::Stdio;
use std::time::Duration;

use support::SECRET;
use support::standalone::{Finished, Server, command, run, within};
use voipbin_receiver::inbox::DiskInbox;

use crate::inbox_tools::seed::{
    CREDENTIAL, DEAD, DEAD_CREDENTIAL, DEAD_CUSTOM, DONE, INTERRUPTED, InboxDir, ODD, PENDING,
    PHONE,
};

#[tokio::test]
async fn a_list_has_a_line_for_each_event_and_no_body() {
    within(async {
        let place = InboxDir::seeded().await;
        let table = place.get(&["list"]).await;
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 7, "{table}");
        assert!(lines[0].starts_with("ID "));
        let dead: Vec<_> = lines[3].split_whitespace().collect();
        assert_eq!(dead[..4], ["3", "dead", "call_hangup", "dead"]);
        assert_eq!(
            dead[5..].join(" "),
            "2 event:dead no line to the CRM",
            "{table}"
        );
        assert!(
            lines[6].ends_with("the process died while it ran or was about to"),
            "{table}"
        );

        let json = place.json(&["list", "--json"]).await;
        let states: Vec<_> = json
            .iter()
            .map(|event| event["state"].as_str().unwrap())
            .collect();
        assert_eq!(
            states,
            ["pending", "done", "dead", "dead", "dead", "pending"]
        );
        assert_eq!(json[2]["failed_attempts"], 2);
        assert_eq!(json[2]["last_error"], "no line to\nthe CRM");
        assert_eq!(json[2]["jobs"][0]["handler"], "event");
        assert_eq!(json[2]["jobs"][0]["stage"], "dead");
        assert_eq!(json[3]["event"], serde_json::Value::Null);
        let hashed = json[4]["resource_id"].as_str().unwrap();
        assert!(hashed.starts_with("hash:"), "{hashed}");

        for printed in [table, place.get(&["list", "--json"]).await] {
            for private in [PHONE, CREDENTIAL] {
                assert!(!printed.contains(private), "{private} in {printed}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn filters_choose_the_events() {
    within(async {
        let place = InboxDir::seeded().await;
        for (filters, ids) in [
            (&["--state", "pending"][..], &[PENDING, INTERRUPTED][..]),
            (&["--state", "done"], &[DONE]),
            (
                &["--state", "dead", "--handler", "event"],
                &[DEAD, DEAD_CREDENTIAL],
            ),
            (&["--handler", "custom"], &[DEAD_CUSTOM]),
            (
                &["--event", "call_hungup"],
                &[PENDING, DONE, DEAD, INTERRUPTED],
            ),
            (&["--event", "queue_created"], &[]),
            (&["--event", "webchat_session_created"], &[DEAD_CREDENTIAL]),
            (&["--resource", "done"], &[DONE]),
            (&["--resource", CREDENTIAL], &[DEAD_CREDENTIAL]),
            (&["--before", "270m"], &[PENDING]),
            (&["--after", "90m"], &[DEAD_CREDENTIAL, INTERRUPTED]),
            (&["--before", "1970-01-02T00:00:00Z"], &[]),
            (
                &["--after", "1970-01-02T00:00:00Z", "--state", "done"],
                &[DONE],
            ),
        ] {
            assert_eq!(place.ids(filters).await, ids, "{filters:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_name_that_nothing_has_is_refused_with_what_was_meant() {
    within(async {
        let place = InboxDir::seeded().await;
        for (arguments, meant) in [
            (&["list", "--event", "call_hangupp"][..], "'call_hangup'"),
            (
                &["list", "--event", "webchat_session_creatd"],
                "'webchat_session_created'",
            ),
            (&["export", "--event", "order.paid"], "order.paid"),
            (&["list", "--handler", "evnt"], "'event'"),
            (
                &["discard", "--handler", "nobody", "--dry-run"],
                "custom, event",
            ),
            (&["replay", "3", "--by", "evnt", "--dry-run"], "'event'"),
        ] {
            let ran = place.run(arguments).await;
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
            assert!(ran.stderr.contains(meant), "{ran:?}");
        }
        // A release to come may have it.
        let later = place
            .run(&["replay", "3", "--by", "billing", "--dry-run"])
            .await;
        assert_eq!((later.code, later.stdout.as_str()), (0, "3\n"), "{later:?}");
        assert!(later.stderr.contains("so far"), "{later:?}");
    })
    .await;
}

#[tokio::test]
async fn a_list_that_is_cut_says_where_it_goes_on() {
    within(async {
        let place = InboxDir::seeded().await;
        let first = place.run(&["list", "--json", "--limit", "4"]).await;
        assert_eq!(first.stdout.lines().count(), 4);
        assert!(first.stderr.contains("--after-id 4"), "{first:?}");
        let rest = place
            .run(&["list", "--json", "--limit", "2", "--after-id", "4"])
            .await;
        assert_eq!(rest.stdout.lines().count(), 2);
        assert_eq!(rest.stderr, "");
        assert_eq!(place.ids(&["--limit", "0"]).await.len(), 6);
        assert_eq!(place.ids(&["--after-id", "6"]).await, [0; 0]);
    })
    .await;
}

#[tokio::test]
async fn one_event_is_shown_with_its_attempts_and_its_body_only_on_demand() {
    within(async {
        let place = InboxDir::seeded().await;
        let shown = place.get(&["show", "3"]).await;
        for part in [
            "the first time",
            "no line to the CRM",
            "1.204 s",
            "2 attempts failed",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains(PHONE), "{shown}");
        let shown = place.get(&["show", "3", "--body"]).await;
        assert!(shown.ends_with(&format!("\n\n{ODD}\n")), "{shown}");

        let json = place.json(&["show", "3", "--json"]).await.remove(0);
        assert_eq!(json["jobs"][0]["history"][0]["error"], "the first time");
        assert_eq!(json["jobs"][0]["history"][0]["took_ms"], 1204);
        assert!(json.get("body").is_none());
        let json = place
            .json(&["show", "3", "--json", "--body"])
            .await
            .remove(0);
        assert_eq!(json["body"], ODD);

        let ran = place.run(&["show", "99"]).await;
        assert_eq!((ran.code, &*ran.stdout), (1, ""));
        assert!(ran.stderr.contains("99") && ran.stderr.contains("inbox list"));
    })
    .await;
}

#[tokio::test]
async fn an_export_has_each_body_byte_for_byte() {
    within(async {
        let place = InboxDir::seeded().await;
        let all = place.json(&["export"]).await;
        assert_eq!(all.len(), 6);
        assert_eq!(all[2]["body"], ODD);
        assert_eq!(all[2]["content_type"], "application/json");
        assert_eq!(all[2]["jobs"][0]["history"].as_array().unwrap().len(), 2);
        assert!(all[2]["received_at"].is_string() && all[2]["identity"].is_string());
        let dead = place
            .json(&["export", "--state", "dead", "--limit", "1"])
            .await;
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0]["id"], DEAD);
    })
    .await;
}

#[tokio::test]
async fn an_export_that_nobody_reads_to_its_end_just_ends() {
    within(async {
        let place = InboxDir::with_many(200).await;
        assert_eq!(place.ids(&["--limit", "0"]).await.len(), 200);
        let mut export = command(place.path(), &["inbox", "export"], &[]);
        let mut export = export.stdout(Stdio::piped()).spawn().unwrap();
        drop(export.stdout.take());
        let ran = Finished::of(export.wait_with_output().await.unwrap());
        assert_eq!((ran.code, &*ran.stderr), (0, ""));
    })
    .await;
}

#[tokio::test]
async fn looking_changes_nothing_and_runs_nothing() {
    within(async {
        let place = InboxDir::seeded().await;
        let before = place.get(&["export"]).await;
        for tool in [
            &["list"][..],
            &["show", "1"],
            &["replay", "--all", "--dry-run"],
            &["discard", "--all", "--dry-run"],
            &["purge", "--dead", "--dry-run"],
        ] {
            place.get(tool).await;
        }
        assert_eq!(place.get(&["export"]).await, before);
    })
    .await;
}

#[tokio::test]
async fn what_is_replayed_without_a_server_runs_when_one_starts() {
    within(async {
        let place = InboxDir::seeded().await;
        let ran = place.run(&["replay", "3", "4"]).await;
        let &[first, second] = &*ran.ids() else {
            panic!("two replays: {ran:?}")
        };
        assert_eq!(ran.code, 0);
        assert!(ran.stderr.contains("when the server starts"), "{ran:?}");
        assert_eq!(
            place.ids(&["--state", "pending"]).await,
            [1, 6, first, second]
        );

        let mut server = Server::start_in(place.path(), &["--allow-unsigned"], &[]).await;
        let mut handled = Vec::new();
        for _ in 0..4 {
            let event = server.event().await;
            handled.push((
                event["replay_of"].as_u64(),
                event["attempt"].as_u64().unwrap(),
            ));
        }
        handled.sort_unstable();
        // The one that was interrupted is at its second attempt.
        assert_eq!(
            handled,
            [
                (None, 1),
                (None, 2),
                (Some(DEAD), 1),
                (Some(DEAD_CUSTOM), 1)
            ]
        );
        server.stop().await;
        let replay = place.json(&["show", &first.to_string(), "--json"]).await;
        let replay = &replay[0];
        assert_eq!(
            (&replay["state"], &replay["replay_of"]),
            (&"done".into(), &DEAD.into())
        );
    })
    .await;
}

#[tokio::test]
async fn filters_and_handlers_of_a_replay() {
    within(async {
        let place = InboxDir::seeded().await;
        let dry = place.run(&["replay", "--state", "dead", "--dry-run"]).await;
        assert_eq!((dry.code, &*dry.stdout), (0, "3\n4\n5\n"));
        assert!(dry.stderr.contains("3 events would be"), "{dry:?}");
        let arguments = ["replay", "--state", "dead", "--by", "audit,billing"];
        let ids = place.run(&arguments).await.ids();
        assert_eq!(ids.len(), 3);
        let replays = place.json(&["list", "--json", "--handler", "audit"]).await;
        let listed: Vec<_> = replays.iter().map(|event| event["id"].as_u64()).collect();
        assert_eq!(listed, [Some(ids[0]), Some(ids[1]), Some(ids[2])]);
        assert_eq!(replays[0]["jobs"][1]["handler"], "billing");

        // Not again what it has just added.
        assert_eq!(place.get(&["replay", "--all"]).await.lines().count(), 9);

        let some = place.run(&["replay", "99", "2"]).await;
        assert_eq!((some.code, some.stdout.lines().count()), (1, 1));
        assert!(some.stderr.contains("99"));
    })
    .await;
}

#[tokio::test]
async fn events_are_given_up_and_purged() {
    within(async {
        let place = InboxDir::seeded().await;
        assert_eq!(
            place.get(&["purge", "--older-than", "1h"]).await,
            "0 events discarded\n"
        );
        assert_eq!(
            place.get(&["purge", "--dry-run"]).await,
            "1 event would be discarded\n"
        );
        assert_eq!(place.get(&["purge"]).await, "1 event discarded\n");
        assert_eq!(place.ids(&[]).await, [1, 3, 4, 5, 6]);

        let ran = place.run(&["discard", "4", "4", "2"]).await;
        assert_eq!((ran.code, &*ran.stdout), (1, "1 event discarded\n"));
        assert!(ran.stderr.contains("no event 2"), "{ran:?}");
        assert_eq!(
            place
                .get(&["discard", "--handler", "event", "--state", "pending"])
                .await,
            "2 events discarded\n"
        );
        assert_eq!(
            place.get(&["purge", "--dead"]).await,
            "2 events discarded\n"
        );
        assert_eq!(place.ids(&[]).await, [0; 0]);
    })
    .await;
}

#[tokio::test]
async fn what_is_erased_without_a_server_is_in_no_file_any_more() {
    within(async {
        let place = InboxDir::seeded().await;
        assert_eq!(
            place.get(&["erase", "--number", PHONE]).await,
            "5 events erased\n"
        );
        assert_eq!(place.ids(&[]).await, [DEAD_CREDENTIAL]);
        for file in std::fs::read_dir(place.inbox()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let number = PHONE.as_bytes();
            assert!(!bytes.windows(number.len()).any(|bytes| bytes == number));
        }
    })
    .await;
}

#[tokio::test]
async fn where_there_is_no_inbox_none_is_made() {
    within(async {
        let place = InboxDir::empty();
        let ran = place.run(&["list"]).await;
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("--directory"), "{ran:?}");
        assert!(!place.inbox().exists());
    })
    .await;
}

#[tokio::test]
async fn an_inbox_whose_file_is_gone_is_told_of_and_not_begun_anew_in_silence() {
    within(async {
        let place = InboxDir::seeded().await;
        // What was written is in the file, and not in its log.
        DiskInbox::open(place.inbox()).await.unwrap().closed().await;
        let file = place.inbox().join("inbox.db");
        let bytes = std::fs::read(&file).unwrap();
        for damaged in [
            None,
            Some(vec![]),
            Some(vec![0; bytes.len()]),
            Some(bytes[..40_000].to_vec()),
        ] {
            std::fs::remove_file(&file).unwrap();
            if let Some(damaged) = &damaged {
                std::fs::write(&file, damaged).unwrap();
            }
            assert_eq!(place.run(&["list"]).await.code, 1);
            for check in [&["--check"][..], &[]] {
                let arguments = [&["--listen", "127.0.0.1:0", "--secret", SECRET], check].concat();
                let refused = run(place.path(), &arguments, &[]).await;
                assert_eq!(refused.code, 2, "{refused:?}");
                assert!(refused.stderr.contains("recreate"), "{refused:?}");
                assert_eq!(std::fs::read(&file).ok(), damaged, "it was changed");
            }
            std::fs::write(&file, &bytes).unwrap();
        }
        assert_eq!(place.ids(&[]).await.len(), 6);
        std::fs::write(&file, b"").unwrap();
        let arguments = ["--secret", SECRET, "--recreate-inbox"];
        let server = Server::start_in(place.path(), &arguments, &[]).await;
        assert_eq!(place.ids(&[]).await, [0; 0]);
        assert!(server.stop().await.status.success());
    })
    .await;
}

#[tokio::test]
async fn what_is_left_of_an_inbox_is_brought_back_into_another() {
    within(async {
        let place = InboxDir::seeded().await;
        let before = place.ids(&[]).await.len();
        let ran = place.run(&["salvage", "anew"]).await;
        assert_eq!((ran.code, &*ran.stdout), (0, ""), "{ran:?}");
        let back = format!("{before} events are back in anew, 2 of them unfinished");
        assert!(ran.stderr.contains(&back), "{ran:?}");
        let table = place.get(&["list", "--directory", "anew"]).await;
        assert_eq!(table.lines().count(), before + 1, "{table}");
        // Nothing is overwritten.
        assert_eq!(place.run(&["salvage", "anew"]).await.code, 1);
    })
    .await;
}

/// How long events stay is a setting of the server, which the tools do not know.
#[tokio::test]
async fn no_tool_removes_an_event_by_its_age() {
    within(async {
        let place = InboxDir::with_a_finished_one(Duration::from_secs(90 * 24 * 3600)).await;
        for _ in 0..3 {
            assert_eq!(place.ids(&["--state", "done"]).await, [1]);
        }
        assert_eq!(place.get(&["purge"]).await, "1 event discarded\n");
        assert_eq!(place.ids(&[]).await, [0; 0]);
    })
    .await;
}
