//! The options of the standalone example, and the variables that stand for them.

use support::standalone::{Server, command, refuses, run, within};
use support::{PATH, SECRET, call_hangup, http_client};
use voipbin_receiver::testing::Sender;

#[tokio::test]
async fn quiet_prints_no_line() {
    within(async {
        let arguments = ["--secret", SECRET, "--quiet", "--inbox", "memory"];
        let server = Server::start(&arguments, &[]).await;
        assert_eq!(
            server.send(SECRET, &call_hangup(1)).await.body(),
            r#"{"status":"received"}"#
        );
        let end = server.stop().await;
        assert_eq!(end.stdout, [""; 0]);
        assert_eq!(end.status.code(), Some(0));
    })
    .await;
}

#[tokio::test]
async fn each_of_several_secrets_is_accepted_and_no_other() {
    within(async {
        let flags = ["--secret", "old-secret", "--secret", "new-secret"];
        for (arguments, environment) in [
            (&flags[..], &[][..]),
            (&[], &[("VOIPBIN_SECRET", "old-secret,new-secret")]),
        ] {
            let mut server = Server::start(arguments, environment).await;
            for secret in ["old-secret", "new-secret"] {
                assert_eq!(server.answer(secret, &call_hangup(secret)).await, 200);
            }
            assert_eq!(server.answer("another", &call_hangup(3)).await, 401);
            assert_eq!(server.answer_unsigned(&call_hangup(4)).await, 401);
            for _ in 0..2 {
                server.event().await;
            }
            assert_eq!(server.stop().await.stdout, [""; 0]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_signature_is_refused_where_a_missing_one_is_allowed() {
    within(async {
        let mut server = Server::start(&["--secret", SECRET, "--allow-unsigned"], &[]).await;
        assert_eq!(server.answer_unsigned(&call_hangup(1)).await, 200);
        assert_eq!(server.answer("another", &call_hangup(2)).await, 401);
        server.event().await;
        assert_eq!(server.stop().await.stdout, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn every_option_can_be_given_by_its_variable() {
    within(async {
        let server = Server::run(command(
            &std::env::temp_dir(),
            &[],
            &[
                ("VOIPBIN_LISTEN", "127.0.0.1:0"),
                ("VOIPBIN_PATH", "/elsewhere"),
                ("VOIPBIN_SECRET", SECRET),
                ("VOIPBIN_ALLOW_UNSIGNED", "true"),
                ("VOIPBIN_INBOX", "memory"),
                ("VOIPBIN_QUIET", "true"),
            ],
        ))
        .await;
        assert_eq!(server.url, format!("http://{}/elsewhere", server.address));
        assert_eq!(server.answer(SECRET, &call_hangup(1)).await, 200);
        assert_eq!(server.answer_unsigned(&call_hangup(2)).await, 200);
        let elsewhere = Sender::unsigned(http_client())
            .uri(format!("http://{}{PATH}", server.address).parse().unwrap())
            .send(call_hangup(3))
            .await;
        assert_eq!(elsewhere.status().unwrap(), 404);
        assert_eq!(server.stop().await.stdout, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn an_option_wins_over_its_variable() {
    within(async {
        let environment = [
            ("VOIPBIN_PATH", "/variable"),
            ("VOIPBIN_SECRET", "of-the-variable"),
        ];
        let server = Server::start(&["--path", "/option", "--secret", SECRET], &environment).await;
        assert!(server.url.ends_with("/option"));
        assert_eq!(server.answer(SECRET, &call_hangup(1)).await, 200);
        assert_eq!(server.answer("of-the-variable", &call_hangup(2)).await, 401);
    })
    .await;
}

#[tokio::test]
async fn the_variable_of_a_switch_is_read_as_people_write_it() {
    within(async {
        let secret = ("VOIPBIN_SECRET", SECRET);
        for (value, on) in [
            ("true", true),
            ("1", true),
            ("TRUE", true),
            ("yes", true),
            ("on", true),
            ("false", false),
            ("0", false),
            ("", false),
            ("no", false),
            ("off", false),
        ] {
            let server = Server::start(&[], &[secret, ("VOIPBIN_ALLOW_UNSIGNED", value)]).await;
            let status = server
                .send_unsigned(&call_hangup(1))
                .await
                .status()
                .unwrap();
            assert_eq!(
                status,
                if on { 200 } else { 401 },
                "VOIPBIN_ALLOW_UNSIGNED={value}"
            );

            let quiet = [secret, ("VOIPBIN_QUIET", value)];
            let server = Server::start(&["--inbox", "memory"], &quiet).await;
            assert_eq!(server.answer(SECRET, &call_hangup(1)).await, 200);
            let lines = server.stop().await.stdout.len();
            assert_eq!(lines, if on { 0 } else { 1 }, "VOIPBIN_QUIET={value}");
        }
        for variable in ["VOIPBIN_ALLOW_UNSIGNED", "VOIPBIN_QUIET"] {
            assert!(
                refuses(&[], &[secret, (variable, "nope")])
                    .await
                    .contains("true or false")
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_missing_secret_is_an_error_where_others_can_connect() {
    within(async {
        for address in ["0.0.0.0:0", "[::]:0"] {
            let said = refuses(&["--listen", address], &[]).await;
            assert!(said.contains("VOIPBIN_SECRET") && said.contains("--allow-unsigned"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_was_cut_or_copied_badly_is_an_error_that_does_not_show_it() {
    within(async {
        for secret in [
            "",
            " ",
            "Pa55-word ",
            " Pa55-word",
            "Pa55-word\n",
            "Pa55-word,",
            "Pa55-word, x",
        ] {
            let flag = refuses(&["--listen", "127.0.0.1:0", "--secret", secret], &[]).await;
            let variable = [
                ("VOIPBIN_LISTEN", "127.0.0.1:0"),
                ("VOIPBIN_SECRET", secret),
            ];
            for said in [flag, refuses(&[], &variable).await] {
                assert!(said.to_lowercase().contains("secret"), "{said}");
                assert!(!said.contains("Pa55-word"), "{said}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused() {
    within(async {
        for arguments in [
            ["--inbox", "granite"],
            ["--listen", "localhost"],
            ["--metrics-listen", "9464"],
            ["--path", "no-slash"],
            ["--path", "/with?query"],
            ["--path", "/with#fragment"],
            ["--unknown", "option"],
        ] {
            refuses(&arguments, &[]).await;
        }
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let said = refuses(&["--listen", &address], &[]).await;
        assert!(said.contains(&address), "{said}");
    })
    .await;
}

#[tokio::test]
async fn help_names_every_option_and_its_variable_and_never_a_secret() {
    within(async {
        for help in ["--help", "-h"] {
            let environment = [("VOIPBIN_SECRET", "Pa55-word")];
            let helped = run(&std::env::temp_dir(), &[help], &environment).await;
            assert_eq!(helped.code, 0);
            let text = helped.stdout;
            for name in [
                "listen",
                "path",
                "secret",
                "allow-unsigned",
                "inbox",
                "directory",
                "metrics-listen",
                "quiet",
            ] {
                assert!(text.contains(&format!("--{name}")), "{help}: {name}");
                let variable = format!("VOIPBIN_{}", name.to_uppercase().replace('-', "_"));
                assert!(text.contains(&variable), "{help}: {variable}");
            }
            assert!(!text.contains("Pa55-word"));
        }
    })
    .await;
}

#[tokio::test]
async fn an_inbox_on_postgres_needs_a_url_and_takes_no_password_as_a_flag() {
    within(async {
        let inbox = ["--listen", "127.0.0.1:0", "--inbox", "postgres"];
        let url = "postgresql://u:Pa55-word@127.0.0.1:1/db";
        let flag = [&inbox[..], &["--database-url", url]].concat();
        let said = refuses(&flag, &[]).await;
        assert!(
            said.contains("--database-url-file") && !said.contains("Pa55-word"),
            "{said}"
        );
        let said = refuses(&inbox, &[]).await;
        assert!(said.contains("VOIPBIN_DATABASE_URL"), "{said}");
        let said = refuses(&inbox, &[("VOIPBIN_DATABASE_URL", url)]).await;
        assert!(
            said.contains("cannot be reached") && !said.contains("Pa55-word"),
            "{said}"
        );
        let file = [&inbox[..], &["--database-url-file", "no-such-file"]].concat();
        let said = refuses(&file, &[]).await;
        assert!(said.contains("no-such-file"), "{said}");
        let said = refuses(&["--role", "worker", "--inbox", "memory"], &[]).await;
        assert!(said.contains("--inbox postgres"), "{said}");
    })
    .await;
}
