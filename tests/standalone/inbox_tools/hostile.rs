//! What whoever writes a flow can put into an event that VoIPBIN signs.

use serde_json::{Value, json};
use support::SECRET;
use support::standalone::{Server, run, within};

/// Moves the cursor, turns the direction of writing, ends lines.
const STEERING: &str = "a\u{1b}[2J\u{9b}2J\u{202e}b\r\nc\u{7f}\u{2028}\u{61c}";

/// Bodies whose names are too long for a table, or steer a terminal.
fn bodies() -> Vec<String> {
    // The widest that Rust formats is 65,535; an event in an inbox may have many times that.
    let long = ["x", "é", "\u{1b}"].map(|letter| letter.repeat(65_536));
    let mut names: Vec<&str> = long.iter().map(String::as_str).collect();
    names.push(STEERING);
    let event = |name: &str, id: &str| json!({ "type": name, "data": { "id": id } }).to_string();
    let mut bodies: Vec<_> = names.iter().map(|name| event(name, "1")).collect();
    bodies.extend(names.iter().map(|name| event("call_hangup", name)));
    bodies.extend(names.iter().map(|name| event(name, name)));
    bodies
}

#[tokio::test]
async fn no_name_or_id_of_an_event_breaks_a_tool_or_steers_a_terminal() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let secret = [("VOIPBIN_SECRET", SECRET)];
        let mut server = Server::start_in(directory.path(), &[], &secret).await;
        let bodies = bodies();
        for body in &bodies {
            assert_eq!(server.answer(SECRET, body).await, 200);
        }
        for _ in &bodies {
            server.event().await;
        }
        let tools = [
            &["list"][..],
            &["list", "--json"],
            &["show", "1"],
            &["show", "12", "--json"],
            &["export"],
            &["replay", "--all", "--dry-run"],
            &["discard", "--all", "--dry-run"],
            &["purge", "--older-than", "0s", "--dry-run"],
        ];
        for tool in tools {
            look(directory.path(), tool, bodies.len()).await;
        }
        assert!(server.stop().await.status.success());
        for tool in tools {
            look(directory.path(), tool, bodies.len()).await;
        }
    })
    .await;
}

async fn look(directory: &std::path::Path, tool: &[&str], events: usize) {
    let arguments: Vec<_> = ["inbox"].iter().chain(tool).copied().collect();
    let ran = run(directory, &arguments, &[]).await;
    assert_eq!(ran.code, 0, "{tool:?}: {}", ran.stderr);
    let printed = ran.stdout;
    let steers = |char: char| char.is_control() || "\u{202e}\u{2028}\u{61c}".contains(char);
    for line in printed.lines() {
        assert!(!line.contains(steers), "{tool:?}");
        if tool.contains(&"--json") || tool == ["export"] {
            let _: Value = serde_json::from_str(line).unwrap();
        } else {
            assert!(line.chars().count() < 1100, "{tool:?}");
        }
    }
    if tool[0] == "list" && tool.len() == 1 {
        assert_eq!(printed.lines().count(), events + 1);
    }
}
