//! `standalone webhook`: where the platform sends, from the command line.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use http::Method;
use support::platform::{ACCESS_KEY, Fault, Platform, TOKENS};
use support::standalone::{Finished, Server, run, within};
use support::{Certificate, SECRET};
use tempfile::TempDir;
use voipbin_receiver::events::CallHangup;
use voipbin_receiver::testing::event;

const HOOK: &str = "https://hooks.example.com/voipbin/webhook";

struct Account {
    directory: TempDir,
    platform: Platform,
}

impl Account {
    async fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            platform: Platform::start().await,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    async fn run(&self, arguments: &[&str]) -> Finished {
        self.run_as(arguments, &[("VOIPBIN_ACCESS_KEY", ACCESS_KEY)])
            .await
    }

    async fn run_as(&self, arguments: &[&str], credential: &[(&str, &str)]) -> Finished {
        let url = self.platform.url();
        let mut environment = vec![("VOIPBIN_API", &*url)];
        environment.extend(credential);
        let arguments = [&["webhook"], arguments].concat();
        let ran = run(self.path(), &arguments, &environment).await;
        for hidden in [ACCESS_KEY, SECRET, TOKENS[0].0, "owner@example.com"] {
            assert!(
                !ran.stdout.contains(hidden) && !ran.stderr.contains(hidden),
                "{arguments:?}"
            );
        }
        ran
    }

    fn uri(&self) -> String {
        self.platform.customer()["webhook_uri"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

#[tokio::test]
async fn an_account_is_set_up_and_its_first_event_handled() {
    within(async {
        let place = Account::new().await;
        let shown = place
            .run(&["show", "--save-secret", "voipbin-secret"])
            .await;
        assert_eq!(shown.code, 0, "{}", shown.stderr);
        let file = place.path().join("voipbin-secret");
        assert_eq!(std::fs::read_to_string(&file).unwrap().trim_end(), SECRET);
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        // Another one is not written over it.
        assert_eq!(
            place
                .run(&["show", "--save-secret", "voipbin-secret"])
                .await
                .code,
            1
        );

        let arguments = ["--secret-file", file.to_str().unwrap()];
        let mut server = Server::start(&arguments, &[]).await;
        let url = server.url.clone();
        let set = place.run(&["set", &url, "--allow-private"]).await;
        assert_eq!(set.code, 0, "{}", set.stderr);
        assert!(set.stderr.contains("plain http") && !set.stderr.contains("not this receiver"));

        let report = place.platform.send(event(CallHangup)).await.unwrap();
        assert_eq!(report.status().unwrap(), 200);
        assert_eq!(server.event().await["event"], "call_hangup");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_was_there_is_kept_for_an_undo_by_its_owner_alone() {
    within(async {
        let place = Account::new().await;
        let nothing = place.run(&["undo"]).await;
        assert!(nothing.code == 1 && nothing.stderr.contains("voipbin-webhook.json"));

        let set = place
            .run(&["set", HOOK, "--no-probe", "--json"])
            .await
            .json();
        assert_eq!(
            (&set["changed"], &set["after"]["uri"]),
            (&true.into(), &HOOK.into())
        );
        let file = place.path().join("voipbin-webhook.json");
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );

        // What changes nothing is nothing to be undone.
        let again = place
            .run(&["set", HOOK, "--no-probe", "--json"])
            .await
            .json();
        assert_eq!(again["changed"], false);
        let undone = place.run(&["undo", "--json"]).await.json();
        assert_eq!(undone["after"]["uri"], "");
        assert_eq!(place.uri(), "");

        let redone = place.run(&["undo"]).await;
        assert_eq!((redone.code, place.uri()), (0, HOOK.to_owned()));
        assert_eq!(place.run(&["off"]).await.code, 0);
        assert_eq!(place.uri(), "");
        assert_eq!(place.run(&["undo"]).await.code, 0);
        assert_eq!(place.uri(), HOOK);

        place.platform.edit(|customer| {
            customer.insert(
                "webhook_uri".to_owned(),
                "https://other.example.com/".into(),
            );
        });
        let over = place.run(&["undo"]).await;
        assert!(
            over.code == 1 && over.stderr.contains("webhook_uri"),
            "{}",
            over.stderr
        );
        assert_eq!(place.uri(), "https://other.example.com/");
    })
    .await;
}

#[tokio::test]
async fn the_tutorials_words_do_what_they_say_with_yes_alone_on_a_platform_of_today() {
    within(async {
        let place = Account::new().await;
        let create = [
            "create",
            "--name",
            "calls",
            "--uri",
            HOOK,
            "--event-types",
            "call_hungup,message_created",
            "--no-probe",
        ];
        let would = place.run(&create).await;
        assert_eq!(would.code, 3, "{}", would.stderr);
        assert!(would.stdout.contains(HOOK) && would.stderr.contains("handlers"));
        assert_eq!(place.uri(), "");
        assert_eq!(place.run(&[&create[..], &["--yes"]].concat()).await.code, 0);
        assert_eq!(place.uri(), HOOK);

        let list = place.run(&["list", "--json"]).await;
        assert_eq!(
            (list.code, &list.json()["result"][0]["uri"]),
            (0, &HOOK.into())
        );

        let other = "https://hooks.example.com/other";
        let update = ["update", "5e4a0680", "--uri", other, "--no-probe"];
        assert_eq!(place.run(&update).await.code, 3);
        assert_eq!(place.run(&[&update[..], &["--yes"]].concat()).await.code, 0);
        assert_eq!(place.uri(), other);
        let names = place
            .run(&["update", "5e4a0680", "--name", "a", "--yes"])
            .await;
        assert_eq!(names.code, 2);

        let would = place.run(&["delete", "5e4a0680", "--json"]).await;
        assert_eq!((would.code, &would.json()["done"]), (3, &false.into()));
        assert_eq!(place.run(&["delete", "5e4a0680", "--yes"]).await.code, 0);
        assert_eq!(place.uri(), "");
    })
    .await;
}

#[tokio::test]
async fn the_tutorials_words_are_those_of_a_platform_that_serves_them() {
    within(async {
        let place = Account::new().await;
        place.platform.serve_webhooks();
        let create = [
            "create",
            "--name",
            "calls",
            "--uri",
            HOOK,
            "--event-types",
            "call_hungup",
            "--json",
        ];
        let made = place.run(&create).await.json();
        let id = made["id"].as_str().unwrap();
        assert_eq!(
            (&made["status"], &made["event_types"][0]),
            (&"active".into(), &"call_hungup".into())
        );
        let types = "call.status,message.received";
        let updated = place
            .run(&["update", id, "--event-types", types, "--json"])
            .await;
        assert_eq!(updated.json()["event_types"].as_array().unwrap().len(), 2);
        assert!(place.run(&["list"]).await.stdout.contains(id));
        assert_eq!(place.run(&["delete", id]).await.code, 0);
        assert_eq!(
            place.run(&["list", "--json"]).await.json()["result"]
                .as_array()
                .unwrap()
                .len(),
            0
        );
        assert_eq!(place.uri(), "");
    })
    .await;
}

#[tokio::test]
async fn who_asks_is_told_by_a_variable_or_a_file_and_never_by_a_flag() {
    within(async {
        let place = Account::new().await;
        let nobody = place.run_as(&["show"], &[]).await;
        assert!(nobody.code == 2 && nobody.stderr.contains("VOIPBIN_ACCESS_KEY"));
        assert_eq!(
            place
                .run_as(&["show"], &[("VOIPBIN_TOKEN", TOKENS[0].0)])
                .await
                .code,
            0
        );
        for credential in [ACCESS_KEY, TOKENS[0].0] {
            std::fs::write(place.path().join("credential"), format!("{credential}\n")).unwrap();
            assert_eq!(
                place
                    .run_as(&["show", "--credential-file", "credential"], &[])
                    .await
                    .code,
                0
            );
        }
        let wrong = place
            .run_as(&["show"], &[("VOIPBIN_ACCESS_KEY", "vb_wrong")])
            .await;
        assert!(
            wrong.code == 1 && wrong.stderr.contains("INVALID_CREDENTIALS"),
            "{}",
            wrong.stderr
        );
    })
    .await;
}

#[tokio::test]
async fn what_goes_wrong_is_told_with_its_status() {
    within(async {
        let place = Account::new().await;
        for (arguments, says) in [
            (&["set", "http://127.0.0.1:5000/hook"][..], "private"),
            (&["set", "ftp://hooks.example.com/"], "https"),
            (&["set", HOOK, "--method", "post"], "capitals"),
            (&["set"], "<URI>"),
            (&["show", "--api", "http://pbx.example.com"], "https://"),
            (&[], "show"),
        ] {
            let ran = place.run(arguments).await;
            assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
            assert!(ran.stdout.is_empty());
        }
        place
            .platform
            .fail([Fault::Error(503, "SERVICE_UNAVAILABLE")]);
        let down = place.run(&["show"]).await;
        assert!(
            down.code == 1 && down.stderr.contains("req-0123"),
            "{}",
            down.stderr
        );
        place.platform.meddle(Method::GET, 2, |customer| {
            customer.insert("email".to_owned(), "new@example.com".into());
        });
        let meanwhile = place.run(&["set", HOOK, "--no-probe"]).await;
        assert!(
            meanwhile.code == 1 && meanwhile.stderr.contains("email"),
            "{}",
            meanwhile.stderr
        );
        assert_eq!(place.uri(), "");
    })
    .await;
}

#[tokio::test]
async fn a_platform_of_ones_own_is_trusted_by_its_ca() {
    within(async {
        let certificate = Certificate::for_name("localhost");
        let platform = Platform::start_tls(&certificate.chain(), &certificate.key()).await;
        let directory = tempfile::tempdir().unwrap();
        let place = Account {
            directory,
            platform,
        };
        let untrusted = place.run(&["show"]).await;
        assert!(
            untrusted.code == 1 && untrusted.stderr.contains("TLS"),
            "{}",
            untrusted.stderr
        );
        let chain = certificate.chain();
        let trusted = place
            .run(&["show", "--api-ca", chain.to_str().unwrap()])
            .await;
        assert_eq!(trusted.code, 0, "{}", trusted.stderr);
    })
    .await;
}
