//! What changes while the server runs.

use support::standalone::{Server, command, within};
use support::{SECRET, call_hangup};

use crate::configuration::settings_dir::SettingsDir;

#[tokio::test]
async fn a_hangup_has_the_files_of_secrets_read_again() {
    within(async {
        let place = SettingsDir::with("secret_file = \"secret\"\nreload_interval = \"0s\"");
        place.write("secret", "old-secret\n");
        let mut server = place.serve(&[]).await;
        assert_eq!(server.answer("new-secret", &call_hangup(1)).await, 401);
        place.write("secret", "new-secret\n");
        server.signal("HUP").await;
        server.logged("read again").await;
        assert_eq!(server.answer("new-secret", &call_hangup(2)).await, 200);
        assert_eq!(server.answer("old-secret", &call_hangup(3)).await, 401);

        // What cannot be read is still in use, and said.
        place.write("secret", " ");
        server.signal("HUP").await;
        server.logged("what it said before counts").await;
        assert_eq!(server.answer("new-secret", &call_hangup(4)).await, 200);
        assert_eq!(server.stop().await.status.code(), Some(0));
    })
    .await;
}

#[tokio::test]
async fn files_of_secrets_are_read_again_every_so_often() {
    within(async {
        let place = SettingsDir::with("secret_file = \"secret\"\nreload_interval = \"10ms\"");
        place.write("secret", "old-secret");
        let server = place.serve(&[]).await;
        place.write("next", "new-secret");
        std::fs::rename(place.in_it("next"), place.in_it("secret")).unwrap();
        let mut number = 0;
        loop {
            number += 1;
            match server
                .send("new-secret", &call_hangup(number))
                .await
                .status()
                .unwrap()
                .as_u16()
            {
                200 => break,
                status => assert_eq!(status, 401),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_hangup_does_not_end_a_server_without_files() {
    within(async {
        let place = SettingsDir::with(&format!("secret = \"{SECRET}\""));
        let mut server = place.serve(&[]).await;
        server.signal("HUP").await;
        server.logged("read again").await;
        assert_eq!(server.answer(SECRET, &call_hangup(1)).await, 200);
        assert_eq!(server.stop().await.status.code(), Some(0));
    })
    .await;
}

/// A server that nobody sees any more would go on with its output gone, and keep the port.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_hangup_ends_a_server_in_a_terminal() {
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

    within(async {
        let place = SettingsDir::with("listen = \"127.0.0.1:0\"");
        let open = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let screen = openpt(open).unwrap();
        unlockpt(&screen).unwrap();
        let terminal = ioctl_tiocgptpeer(&screen, open).unwrap();
        let settings = place.settings();
        let mut command = command(place.path(), &["--config", &settings], &[]);
        command.stdin(terminal);
        let server = Server::run(command).await;
        assert_eq!(server.stop_with("HUP").await.status.code(), Some(0));
    })
    .await;
}
