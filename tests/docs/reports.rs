//! Public reports of other receivers, inboxes and servers, each with the test that holds this one
//! to what was asked for there: the report, the file of the test, and its name.

use std::collections::BTreeSet;

use crate::pages::root;

const REPORTS: &str = "
https://github.com/joyent/libuv/issues/690 tests/standalone/configuration/trouble.rs a_server_with_few_files_answers_beside_a_crowd_and_says_why_it_closes_others
https://github.com/yesodweb/wai/issues/1110 tests/standalone/configuration/trouble.rs a_server_with_few_files_answers_beside_a_crowd_and_says_why_it_closes_others
https://github.com/traefik/traefik/issues/3933 tests/standalone/configuration/trouble.rs a_server_with_few_files_answers_beside_a_crowd_and_says_why_it_closes_others
https://github.com/payjoin/rust-payjoin/pull/1608 tests/hostile/main.rs whatever_strangers_do_a_good_client_is_answered_within_a_second
https://github.com/vouch-sh/vouch/issues/1127 voipbin-receiver/src/mount/server/tests.rs a_head_has_its_own_time_from_its_first_byte_on_however_it_comes
https://github.com/nodejs/node/issues/17749 voipbin-receiver/src/mount/server/tests.rs a_connection_serves_after_it_was_idle_for_longer_than_the_sender_keeps_it
https://github.com/graphprotocol/graph-node/pull/2354 tests/logs/connections.rs a_blocking_handler_that_waits_for_a_thread_is_warned_of_and_holds_up_no_answer
https://github.com/hyperium/hyper/issues/3283 tests/standalone/configuration/trouble.rs as_many_headers_as_the_settings_allow_are_read
https://github.com/nginx/nginx/issues/359 tests/standalone/configuration/trouble.rs a_certificate_that_has_ended_is_a_problem
https://github.com/Tr3kkR/Yuzu/issues/4742 tests/http/tls.rs a_certificate_that_cannot_be_taken_up_leaves_the_old_one
https://github.com/oven-sh/bun/issues/43815 tests/http/tls.rs a_new_certificate_is_taken_up_without_dropping_a_connection
https://github.com/palantir/policy-bot/issues/103 tests/standalone/configuration/trouble.rs a_delivery_to_another_path_is_told_and_counted
https://github.com/fanout/webhookinbox/issues/13 tests/receiver/service.rs a_signed_body_that_is_empty_gets_a_503_for_a_redirect_took_it
https://github.com/stripe/stripe-node/issues/396 tests/receiver/gate/diagnosis.rs a_sample_that_a_framework_wrote_anew_is_told_from_one_of_another_secret
https://github.com/librefang/librefang/issues/3492 tests/standalone/configuration/checking.rs whatever_would_keep_the_server_from_starting_is_found
https://github.com/kimdre/doco-cd/issues/545 tests/receiver/gate/secrets.rs a_file_holds_a_secret_and_at_most_one_line_end
https://github.com/Gentleman-Programming/engram/issues/1275 tests/standalone/configuration/trouble.rs empty_variables_are_named
https://github.com/oauth2-proxy/oauth2-proxy/pull/3478 tests/receiver/gate/sources.rs a_header_counts_from_a_trusted_proxy_alone
https://github.com/sharkdp/fd/issues/737 tests/standalone/lifecycle.rs what_could_not_be_printed_does_not_look_like_success
https://github.com/phetsims/axon/issues/68 voipbin-receiver/src/catalog/spelling.rs what_no_event_is_called_is_refused_with_what_was_meant
https://github.com/dotnet/BenchmarkDotNet/issues/829 tests/standalone/inbox_tools/offline.rs a_name_that_nothing_has_is_refused_with_what_was_meant
https://github.com/sidekiq/sidekiq/issues/159 tests/logs/deliveries.rs a_run_that_goes_on_for_more_than_five_minutes_is_warned_of_once
https://github.com/engram-app/Engram/issues/1496 tests/receiver/limits.rs a_handler_that_hangs_in_all_it_can_get_leaves_room_for_the_other
https://github.com/sidekiq/sidekiq/issues/1651 tests/receiver/pauses.rs a_paused_handler_waits_with_all_its_events_and_others_go_on
https://github.com/nsqio/nsq/issues/821 tests/receiver/drain.rs a_drain_refuses_what_is_new_and_makes_all_attempts_in_their_time
https://github.com/nsqio/nsq/issues/1302 tests/standalone/lifecycle.rs a_server_that_is_given_up_runs_all_that_is_kept_and_ends
https://github.com/taskiq-python/taskiq-aio-pika/issues/35 tests/disk/crash/poison_event.rs an_event_that_kills_the_process_is_a_dead_letter_after_its_attempts_and_no_other_is
https://github.com/taskiq-python/taskiq/issues/569 tests/receiver/resume.rs a_job_of_a_handler_that_is_gone_is_held_and_not_lost
https://github.com/data-fair/data-fair/pull/473 tests/restart/restart.rs an_inbox_on_disk_keeps_for_as_long_as_its_handlers_run
https://github.com/elastic/elasticsearch/issues/86983 tests/http/tls.rs a_server_that_stops_answers_what_it_has_and_closes_without_waiting_for_the_client
https://github.com/alibaba/rocketmq/issues/331 tests/disk/crash/full_disk.rs a_full_disk_refuses_events_and_loses_none_and_goes_on_by_itself_when_there_is_room
https://github.com/NousResearch/hermes-agent/pull/96681 tests/http/disconnect.rs a_copy_is_refused_too_when_the_event_whose_client_has_left_cannot_be_kept
https://github.com/dapr/dapr/issues/4133 tests/standalone/metrics/emitted.rs no_label_has_a_value_that_a_sender_chose
https://github.com/quarkiverse/quarkus-http-problem/issues/663 tests/standalone/inbox_tools/hostile.rs no_name_or_id_of_an_event_breaks_a_tool_or_steers_a_terminal
";

#[test]
fn each_report_is_named_once_and_has_a_test_that_is_there() {
    let mut seen = BTreeSet::new();
    for line in REPORTS.lines().filter(|line| !line.is_empty()) {
        let parts: Vec<&str> = line.split(' ').collect();
        let [report, file, test] = parts[..] else {
            panic!("{line}")
        };
        let path = report.strip_prefix("https://github.com/").unwrap();
        let parts: Vec<&str> = path.split('/').collect();
        let [_, _, "issues" | "pull", number] = parts[..] else {
            panic!("{report}")
        };
        assert!(number.parse::<u32>().is_ok(), "{report}");
        assert!(seen.insert(report), "{report} comes twice");
        let source = std::fs::read_to_string(root().join(file)).unwrap();
        let declared = source.split("#[").any(|item| {
            let body = item.split_once("fn ").map(|(_, rest)| rest);
            item.contains("test") && body.is_some_and(|rest| rest.starts_with(&format!("{test}(")))
        });
        assert!(declared, "there is no test {test} in {file}");
    }
    assert_eq!(seen.len(), 34);
}
