//! What open pages of the inspector cost those who deliver.
//!
//! `cargo bench -p voipbin-receiver-inspector --bench open_pages` offers 5,000 events a second to a
//! receiver with an inbox on disk: with 200 pages open and without, in turns, seven pairs of 10
//! seconds. A ratio is that of one pair. Half of the pages are the first one, the others lists of
//! events.
//!
//! The receiver, the sender and whoever reads the pages are processes of their own; on Linux the
//! receiver has one core, and the others share another.
//!
//! Arguments, after `--`: `--quick` for two pairs of 3 seconds.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is test code"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use axum::Router;
use support::figures::Spread;
use support::load::{self, BODY_LENGTH, Load, Pace, Sent};
use support::process::{Other, keep_to_core, memory_of};
use support::{PATH, builder, serve_app};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::DiskInbox;
use voipbin_receiver::inspector::Access;

const RATE: usize = 5_000;
const PAGES: usize = 200;

fn main() {
    let arguments = std::env::args().skip(1).filter(|one| one != "--bench");
    let arguments: Vec<String> = arguments.collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The parts that run in a process of their own.
    let (pairs, time) = match *arguments.as_slice() {
        ["serve"] => return serve(),
        ["watch", address] => return watch(address.parse().unwrap()),
        ["load", load] => return load::run(load),
        [] => (7, Duration::from_secs(10)),
        ["--quick"] => (2, Duration::from_secs(3)),
        _ => panic!("unknown arguments: {arguments:?}"),
    };
    compare(pairs, time);
}

fn compare(pairs: usize, time: Duration) {
    let mut server = Other::start(&["serve"]);
    let address = server.line();
    let mut first = 0;
    let mut offer = |time| {
        let sent = offer(&address, time, first);
        first += sent.requests;
        assert!(sent.all_received(), "{:?}", sent.answered);
        sent.round
    };
    offer(Duration::from_secs(3));
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    let mut memory = [0, 0];
    for pair in 0..pairs {
        for turn in 0..2 {
            // Whoever is first takes turns too.
            if (pair + turn) % 2 == 0 {
                alone.push(offer(time));
                memory[0] = memory_of(&[server.id()], "VmRSS:").unwrap_or_default();
            } else {
                let mut watch = Other::start(&["watch", &address]);
                assert_eq!(watch.line(), "open");
                watched.push(offer(time));
                memory[1] = memory_of(&[server.id()], "VmRSS:").unwrap_or_default();
                watch.close_input();
                println!("{PAGES} pages got {}", watch.line());
            }
        }
    }
    println!("{RATE} events a second, {pairs} pairs of {time:?}; milliseconds");
    for (name, rounds) in [("alone", &alone), ("watched", &watched)] {
        let p50 = Spread::of(rounds.iter().map(|round| round.p50)).unwrap();
        let p99 = Spread::of(rounds.iter().map(|round| round.p99)).unwrap();
        println!("{name:<8} p50 {p50:.2}, p99 {p99:.2}");
    }
    let pairs = watched.iter().zip(&alone);
    let ratio = Spread::of(pairs.map(|(watched, alone)| watched.p99 / alone.p99)).unwrap();
    println!("p99 with {PAGES} pages, of that without: {ratio:.2}");
    let mib = memory.map(|bytes| bytes >> 20);
    println!(
        "memory of the server: {} MiB without, {} MiB with them",
        mib[0], mib[1]
    );
}

fn offer(address: &str, time: Duration, first: usize) -> Sent {
    let load = Load {
        address: address.parse().unwrap(),
        connections: 64,
        body_length: BODY_LENGTH,
        first,
        pace: Pace::Open {
            rate: RATE as f64,
            lead: Duration::from_secs(1),
            time,
        },
        server: Vec::new(),
        core: Some(1),
        awake: false,
    };
    load.send()
}

/// Prints where it listens, and serves until it is killed.
fn serve() {
    keep_to_core(0);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let inbox = DiskInbox::builder(directory.path());
        let inbox = inbox
            .retain_done(Duration::from_secs(5))
            .open()
            .await
            .unwrap();
        let receiver = builder().inbox(inbox).on(Any, || async {}).build().unwrap();
        let inspector = receiver.inspector().authorize(|_| Access::Read);
        let app = Router::new()
            .route_service(PATH, receiver.service())
            .nest_service("/inspector/", inspector.build().unwrap());
        println!("{}", serve_app(app).await);
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    });
}

/// Opens pages and reads what comes until its input ends. Then it prints how much that was.
fn watch(address: SocketAddr) {
    keep_to_core(1);
    let pages = ["/", "/events", "/", "/events%3Fq%3Dtype%253Acall_hangup"];
    let mut open: Vec<TcpStream> = Vec::new();
    for page in pages.iter().cycle().take(PAGES) {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET /inspector/live?page={page} HTTP/1.1\r\nhost: localhost\r\n\r\n"
        )
        .unwrap();
        let mut begin = [0; 512];
        let count = stream.read(&mut begin).unwrap();
        assert!(begin[..count].starts_with(b"HTTP/1.1 200"), "{page}");
        stream.set_nonblocking(true).unwrap();
        open.push(stream);
    }
    println!("open");
    let (ended, ends) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    let (mut bytes, mut buffer) = (0, vec![0; 256 << 10]);
    while ends.recv_timeout(Duration::from_millis(20))
        == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
    {
        for stream in &mut open {
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                bytes += count;
            }
        }
    }
    println!("{} MiB", bytes >> 20);
}
