//! The page that the server shows on an address of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::standalone::{Server, paste, refuses, within};
use support::{SECRET, call_hangup};

/// The tests' servers have none by default.
const WANTED: (&str, &str) = ("VOIPBIN_NO_INSPECTOR", "false");

const ANY_PORT: [&str; 2] = ["--inspector-listen", "127.0.0.1:0"];

/// The status of a page, and the page.
async fn get(url: &str, curl: &str) -> (String, String) {
    let told = paste(&format!(
        "curl -sS --write-out '\\n%{{http_code}}' {curl} '{url}'"
    ))
    .await;
    let (page, status) = told.rsplit_once('\n').unwrap();
    (status.to_owned(), page.to_owned())
}

#[tokio::test]
async fn on_loopback_whoever_is_there_reads_and_the_token_in_the_directory_reveals() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let environment = [WANTED, ("VOIPBIN_SECRET", SECRET)];
        let mut server = Server::start_in(directory.path(), &ANY_PORT, &environment).await;
        let url = server.told("inspector on ").await;
        let file = server
            .told("its token for this run, to see bodies and the texts of errors, is in ")
            .await;
        let file = directory.path().join(file);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let token = std::fs::read_to_string(&file).unwrap();
        let token = token.trim_end();
        assert_eq!(token.len(), 32);

        assert!(
            server
                .send(SECRET, &call_hangup("c-1"))
                .await
                .delivered()
                .is_some()
        );
        server.event().await;
        let (status, page) = get(&url, "").await;
        assert_eq!(status, "200", "{page}");
        assert!(
            page.contains("<th scope=\"row\">accepted</th><td class=\"number\">1</td>"),
            "{page}"
        );
        let (_, settings) = get(&format!("{url}settings"), "").await;
        assert!(
            settings.contains("inspector_listen") && settings.contains("flag"),
            "{settings}"
        );
        assert!(!settings.contains(SECRET) && !settings.contains(token));

        let reveals = format!("{url}events?q=text%3Ac-1");
        assert_eq!(get(&reveals, "").await.0, "403");
        let bearer = format!("--header 'Authorization: Bearer {token}'");
        assert_eq!(get(&reveals, &bearer).await.0, "200");
        assert_eq!(get(&url, "--header 'Host: evil.example'").await.0, "403");
        // The webhook's address has no such page.
        assert_eq!(
            get(&format!("http://{}/events", server.address), "")
                .await
                .0,
            "404"
        );
        let end = server.stop().await;
        let all = end.stderr.join("\n");
        assert!(!all.contains(token), "{all}");
    })
    .await;
}

#[tokio::test]
async fn with_a_token_of_ones_own_nobody_sees_anything_without_it() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "a-token-for-those-who-may-see-it\n").unwrap();
        let arguments = [&ANY_PORT[..], &["--inspector-token-file", "token"]].concat();
        let environment = [WANTED, ("VOIPBIN_SECRET", SECRET)];
        let mut server = Server::start_in(directory.path(), &arguments, &environment).await;
        let url = server.told("inspector on ").await;
        assert_eq!(get(&url, "").await.0, "401");
        let bearer = "--header 'Authorization: Bearer a-token-for-those-who-may-see-it'";
        assert_eq!(get(&url, bearer).await.0, "200");
        assert!(
            !Path::new(directory.path())
                .join("voipbin-inbox/inspector-token")
                .exists()
        );
    })
    .await;
}

#[tokio::test]
async fn an_address_that_others_reach_takes_a_token_and_a_server_can_have_no_inspector() {
    within(async {
        let open = ["--listen", "127.0.0.1:0", "--inspector-listen", "0.0.0.0:0"];
        let said = refuses(&open, &[WANTED]).await;
        assert!(said.contains("--inspector-token-file"), "{said}");

        let same = [
            "--listen",
            "127.0.0.1:5999",
            "--inspector-listen",
            "127.0.0.1:5999",
        ];
        let said = refuses(&same, &[WANTED]).await;
        assert!(said.contains("another port"), "{said}");

        let without = [&ANY_PORT[..], &["--no-inspector"]].concat();
        let server = Server::start(&without, &[WANTED]).await;
        let ready = format!("http://{}/health/ready", server.address);
        assert_eq!(get(&ready, "").await.0, "200");
        let end = server.stop().await;
        assert!(
            !end.stderr.iter().any(|line| line.contains("inspector")),
            "{:?}",
            end.stderr
        );
    })
    .await;
}
