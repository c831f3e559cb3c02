//! A server on the open internet: clients that mean no good, while a good one goes on to be served.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code"
)]

mod good;
mod process;
mod smuggling;

use serde_json::{Value, json};
use support::Certificate;

use self::good::GoodClient;
use self::process::{Process, mebibytes};

/// Connections that do nothing, and room for others beside them.
const IDLE: u64 = 10_000;
const ROOM: u64 = 11_000;

/// Slow clients of each kind.
const SLOW: u64 = 200;

/// Clients that speak no TLS, of each kind.
const GARBAGE: u64 = 100;

/// What an idle connection may cost, in bytes: one that never had a request, and one that had; and
/// what all of it may. The figures that are printed are far below: it is only to be bounded.
const NEW_AT_MOST: u64 = 8 << 10;
const USED_AT_MOST: u64 = 40 << 10;
const PEAK_AT_MOST: u64 = 512 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_strangers_do_a_good_client_is_answered_within_a_second() {
    support::within(everything()).await;
}

struct Servers {
    server: Process,
    /// With room for all.
    plain: String,
    /// With room for 64 connections.
    narrow: String,
    /// The same, with TLS.
    secure: String,
    /// For nobody on this machine.
    listed: String,
}

impl Servers {
    async fn attack(&self, name: &str, address: &str, count: Option<u64>) -> Value {
        let count = count.map(|count| count.to_string());
        let arguments = [Some(name), Some(address), count.as_deref()];
        let client = Process::start(
            env!("CARGO_BIN_EXE_hostile-client"),
            arguments.into_iter().flatten(),
        );
        let came_of_it = client.end().await;
        let memory = mebibytes(self.server.memory("VmRSS:"));
        println!("{name}: server at {memory}");
        came_of_it
    }
}

async fn everything() {
    let certificate = Certificate::new();
    let files = [certificate.chain(), certificate.key()];
    let [chain, key] = files.each_ref().map(|path| path.to_str().unwrap());
    let room = ROOM.to_string();
    let mut server = Process::start(env!("CARGO_BIN_EXE_hostile-server"), [chain, key, &room]);
    let told = server.line().await;
    let address = |name: &str| told[name].as_str().unwrap().to_owned();
    let stage = Servers {
        plain: address("plain"),
        narrow: address("narrow"),
        secure: address("secure"),
        listed: address("listed"),
        server,
    };
    let good = GoodClient::start([&stage.plain, &stage.narrow, &stage.secure], certificate);

    idle(&stage, told["connections"].as_u64().unwrap()).await;
    slow(&stage).await;
    heads(&stage).await;
    bodies(&stage).await;
    garbage(&stage).await;
    forged(&stage).await;
    let smuggled = stage.attack("smuggling", &stage.plain, None).await;
    let once = smuggling::check(&smuggled);
    println!("smuggling: {once} shapes are one event, all others none");

    let figures = good.stop().await;
    let peak = stage.server.memory("VmHWM:");
    println!(
        "good client: {} answers, the slowest in {:?}; server at most {}",
        figures.answers,
        figures.slowest,
        mebibytes(peak)
    );
    assert!(peak < PEAK_AT_MOST);

    let end = stage.server.end().await;
    println!("server: {end}");
    let handled = |kind: &str| end["handled"][kind].as_u64().unwrap_or(0);
    assert_eq!(handled("good"), figures.answers);
    assert_eq!(handled("outer"), once);
    for kind in ["smuggled", "slow", "cut", "garbage"] {
        assert_eq!(handled(kind), 0, "{kind}");
    }
    // No body came twice.
    assert_eq!(end["duplicates"], 0);
}

/// All of them are held.
async fn idle(stage: &Servers, connections: u64) {
    let memory = || stage.server.memory("VmRSS:");
    let before = memory();
    let count = IDLE.min(connections - connections / 11);
    let mut client = Process::start(
        env!("CARGO_BIN_EXE_hostile-client"),
        ["idle", &stage.plain, &count.to_string()],
    );
    let held = client.line().await["held"].as_u64().unwrap();
    let with_all = memory();
    let new = with_all.saturating_sub(before) / held;
    client.go_on().await;
    let used_ones = client.line().await["used"].as_u64().unwrap();
    let used = memory().saturating_sub(with_all) / used_ones + new;
    println!("idle: {held} connections of {new} bytes each; {used_ones} of {used} after a request");
    assert!(new < NEW_AT_MOST && used < USED_AT_MOST);
    assert_eq!(client.end().await, json!({ "there": held }));
}

/// A head that comes slowly is left; a body that does is asked for again. Where there are too many
/// of them, they make room for others.
async fn slow(stage: &Servers) {
    let (heads, bodies) = tokio::join!(
        stage.attack("slow-heads", &stage.plain, Some(SLOW)),
        stage.attack("slow-bodies", &stage.plain, Some(SLOW)),
    );
    assert_eq!(heads, json!({ "[]": SLOW }));
    assert_eq!(bodies, json!({ "[503]": SLOW }));

    let (heads, bodies) = tokio::join!(
        stage.attack("slow-heads", &stage.narrow, Some(SLOW)),
        stage.attack("slow-bodies", &stage.narrow, Some(SLOW)),
    );
    for ends in [heads, bodies] {
        assert_ends("slow", &ends, &["[]", "[503]"]);
    }
}

/// Heads beyond any measure are refused, or their connections closed, before they end.
async fn heads(stage: &Servers) {
    let heads = stage.attack("heads", &stage.plain, None).await;
    for (kind, ends) in heads.as_object().unwrap() {
        assert_ends(kind, ends, &["[431]", "[400]", "[]"]);
    }
}

/// What is too long is refused before it came.
async fn bodies(stage: &Servers) {
    let bodies = stage.attack("bodies", &stage.plain, None).await;
    for kind in ["honest", "chunked", "shorter"] {
        assert_ends(kind, &bodies[kind], &["[413]", "[]"]);
    }
    // The first ten bytes are a body without a signature; what comes behind is no request.
    assert_ends(
        "longer",
        &bodies["longer"],
        &["[401,400]", "[401,431]", "[401]", "[]"],
    );
    assert_ends("cut", &bodies["cut"], &["[]", "[503]"]);
}

/// What is no TLS is not answered, and is let go within the time of a handshake.
async fn garbage(stage: &Servers) {
    let garbage = stage.attack("garbage", &stage.secure, Some(GARBAGE)).await;
    for (kind, ends) in garbage.as_object().unwrap() {
        assert_ends(kind, ends, &["[]"]);
    }
}

/// Nobody becomes another one by saying so.
async fn forged(stage: &Servers) {
    let open = stage.attack("forged", &stage.plain, None).await;
    assert!(open.as_array().unwrap().iter().all(|status| status == 200));
    let listed = stage.attack("forged", &stage.listed, None).await;
    assert!(
        listed
            .as_array()
            .unwrap()
            .iter()
            .all(|status| status == 503)
    );
}

fn assert_ends(kind: &str, ends: &Value, allowed: &[&str]) {
    println!("{kind}: {ends}");
    let ends = ends.as_object().unwrap();
    assert!(!ends.is_empty(), "{kind}");
    for end in ends.keys() {
        assert!(allowed.contains(&end.as_str()), "{kind}: {end}");
    }
}
