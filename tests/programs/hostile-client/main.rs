//! Clients that mean no good, in a process of their own so that they cost the server nothing but
//! what they send.
//!
//! `hostile-client ATTACK ADDRESS [COUNT]` prints one JSON object: what came of it. Every attack is
//! bounded in what it sends and in time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is test code"
)]

mod bodies;
mod connection;
mod forged;
mod garbage;
mod heads;
mod idle;
mod slow;
mod smuggling;

use std::net::SocketAddr;
use std::time::Duration;

/// No attack takes longer.
const AT_MOST: Duration = Duration::from_secs(60);

fn main() {
    // Strangers have machines of their own: on this one they take no time from the server. Before
    // there are threads, as each has its own priority.
    #[cfg(target_os = "linux")]
    rustix::process::nice(19).unwrap();
    attack();
}

#[tokio::main]
async fn attack() {
    let mut arguments = std::env::args().skip(1);
    let attack = arguments.next().unwrap();
    let address: SocketAddr = arguments.next().unwrap().parse().unwrap();
    let count = arguments.next().map_or(1, |count| count.parse().unwrap());
    let small = |count: u64| u32::try_from(count).unwrap();
    let carried_out = async {
        match attack.as_str() {
            "idle" => idle::attack(address, count).await,
            "slow-heads" => slow::heads(address, small(count)).await,
            "slow-bodies" => slow::bodies(address, small(count)).await,
            "bodies" => bodies::attack(address).await,
            "heads" => heads::attack(address).await,
            "smuggling" => smuggling::attack(address).await,
            "forged" => forged::attack(address).await,
            "garbage" => garbage::attack(address, small(count)).await,
            _ => panic!("no such attack: {attack}"),
        }
    };
    let came_of_it = tokio::time::timeout(AT_MOST, carried_out).await.unwrap();
    println!("{came_of_it}");
}
