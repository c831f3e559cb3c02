//! A server that takes over from another one, and what a service manager is told.

use std::net::TcpListener;
use std::path::Path;

use support::standalone::{Server, command, within};
use support::{SECRET, call_hangup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixDatagram, UnixStream};

const ENVIRONMENT: [(&str, &str); 1] = [("VOIPBIN_SECRET", SECRET)];

/// Asks the server of this directory as another one would, up to where it gives up the inbox. The
/// socket that it hands over is not taken.
async fn ask(directory: &Path) -> UnixStream {
    let socket = directory.join("voipbin-inbox/take-over.sock");
    let mut line = UnixStream::connect(socket).await.unwrap();
    line.read_u64().await.unwrap();
    line
}

async fn answers(server: &mut Server, event: &str) {
    let report = server.send(SECRET, &call_hangup(event)).await;
    assert!(
        report.status().is_some_and(|status| status == 200),
        "{event}: {report:?}"
    );
    // One whose end was not written when its server was killed comes first.
    while server.event().await["resource_id"] != event {}
}

#[tokio::test]
async fn a_server_goes_on_when_the_one_that_takes_over_ends_before_it_has_the_inbox() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Server::start_in(directory.path(), &[], &ENVIRONMENT).await;
        answers(&mut server, "before").await;

        // Before it accepts.
        drop(ask(directory.path()).await);
        server
            .logged("a server that was to take over did not")
            .await;
        answers(&mut server, "between").await;

        // While it waits for the inbox.
        let mut line = ask(directory.path()).await;
        line.write_all(b"R").await.unwrap();
        server.logged("another server takes over").await;
        drop(line);
        server.logged("this one goes on").await;
        answers(&mut server, "after").await;

        // And is taken over.
        let address = server.address;
        let mut next = Server::start_in(directory.path(), &["--take-over"], &ENVIRONMENT).await;
        assert!(server.end().await.status.success());
        assert_eq!(next.address, address);
        answers(&mut next, "taken-over").await;
        assert!(next.stop().await.status.success());
    })
    .await;
}

#[tokio::test]
async fn an_address_beside_a_socket_that_is_handed_down_is_told_to_have_no_effect() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start_in(directory.path(), &[], &ENVIRONMENT).await;
        let address = server.address;
        let arguments = ["--listen", "127.0.0.1:1", "--take-over"];
        let next = Server::run(command(directory.path(), &arguments, &ENVIRONMENT)).await;
        assert_eq!(next.address, address);
        let told = next.before.join("\n");
        assert!(
            told.contains("no effect") && told.contains("listen"),
            "{told}"
        );
        assert!(server.end().await.status.success());
        assert!(next.stop().await.status.success());
    })
    .await;
}

#[tokio::test]
async fn a_service_manager_is_told_of_the_start_the_new_process_each_sign_of_life_and_the_end() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let notified = UnixDatagram::bind(&path).unwrap();
        let told = async || {
            let mut told = Vec::with_capacity(256);
            notified.recv_buf(&mut told).await.unwrap();
            String::from_utf8(told).unwrap()
        };
        let environment = [
            ("VOIPBIN_SECRET", SECRET),
            ("NOTIFY_SOCKET", path.to_str().unwrap()),
            ("WATCHDOG_USEC", "60000000"),
        ];
        let server = Server::start_in(directory.path(), &[], &environment).await;
        let started = |server: &Server| format!("READY=1\nMAINPID={}\n", server.pid());
        assert_eq!(told().await, started(&server));
        assert_eq!(told().await, "WATCHDOG=1\n");

        // The time of the watchdog is told to no other process than the first.
        let next = Server::start_in(directory.path(), &["--take-over"], &environment[..2]).await;
        assert_eq!(told().await, started(&next));
        assert_eq!(told().await, "WATCHDOG=1\n");
        assert!(server.end().await.status.success());
        next.stop().await;
        assert_eq!(told().await, "STOPPING=1\n");
    })
    .await;
}

#[tokio::test]
async fn a_port_for_metrics_that_is_taken_is_had_once_it_is_free() {
    within(async {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let mut server = Server::start(&["--metrics-listen", &address], &ENVIRONMENT).await;
        answers(&mut server, "meanwhile").await;
        drop(taken);
        let told = server.told("metrics on ").await;
        assert_eq!(told, format!("http://{address}/metrics"));
    })
    .await;
}

#[tokio::test]
async fn with_nobody_to_take_over_from_it_starts_as_without() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        for inbox in ["disk", "memory"] {
            let arguments = ["--take-over", "--inbox", inbox];
            let mut server = Server::start_in(directory.path(), &arguments, &ENVIRONMENT).await;
            answers(&mut server, inbox).await;
            // Its socket is left behind, and answers nobody.
            server.stop_with("KILL").await;
        }
        let arguments = ["--listen", "127.0.0.1:0", "--take-over"];
        let again = command(directory.path(), &arguments, &ENVIRONMENT);
        let mut again = Server::run(again).await;
        answers(&mut again, "again").await;
    })
    .await;
}
