use std::sync::Mutex;
use std::time::SystemTime;

use super::*;

#[derive(Debug, Default)]
struct Hand(Mutex<Duration>);

impl Clock for Hand {
    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

fn rates(per_source: Option<Rate>, total: Option<Rate>) -> (Arc<Hand>, Rates) {
    let hand = Arc::new(Hand::default());
    let clock: Arc<dyn Clock> = hand.clone();
    (
        hand,
        RateSettings { per_source, total }.build(&clock).unwrap(),
    )
}

fn client(address: &str) -> ClientAddr {
    ClientAddr::Known(address.parse().unwrap())
}

fn passed(rates: &Rates, source: ClientAddr, requests: u32) -> usize {
    (0..requests)
        .filter(|_| rates.check(source).is_ok())
        .count()
}

#[test]
fn a_burst_passes_and_then_one_for_each_share_of_the_period() {
    for (rate, burst, share) in [
        (Rate::per_second(10), 10, Duration::from_millis(100)),
        (Rate::per_second(10).burst(1), 1, Duration::from_millis(100)),
        (Rate::per_minute(6).burst(3), 3, Duration::from_secs(10)),
        (
            Rate::per_second(Rate::MAX),
            Rate::MAX,
            Duration::from_micros(1),
        ),
        (
            Rate::per_minute(1).burst(Rate::MAX),
            Rate::MAX,
            Duration::from_secs(60),
        ),
    ] {
        for (per_source, total) in [(Some(rate), None), (None, Some(rate))] {
            let (hand, rates) = rates(per_source, total);
            let source = client("203.0.113.9");
            assert_eq!(
                passed(&rates, source, burst + 3),
                burst as usize,
                "{rate:?}"
            );
            *hand.0.lock().unwrap() += share * 2;
            assert_eq!(passed(&rates, source, 5), 2.min(burst as usize), "{rate:?}");
        }
    }
}

#[test]
fn a_source_that_exceeds_its_share_leaves_that_of_others_and_of_all() {
    let (_, rates) = rates(Some(Rate::per_second(3)), Some(Rate::per_second(5)));
    assert_eq!(passed(&rates, client("203.0.113.9"), 1000), 3);
    assert_eq!(
        rates.check(client("203.0.113.9")),
        Err(RateExceeded::Source)
    );
    assert_eq!(passed(&rates, client("198.51.100.1"), 2), 2);
    assert_eq!(rates.check(client("198.51.100.1")), Err(RateExceeded::All));
}

#[test]
fn an_ipv6_source_is_its_64_bit_network_and_the_unknown_are_one() {
    for (one, other, same) in [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
        ("2001:db8::1", "2001:db8:0:1::1", false),
        ("203.0.113.9", "203.0.113.8", false),
        // The bits of the one are those of the other's network.
        ("0.0.0.1", "0:0:0:1::", false),
    ] {
        assert_eq!(
            RateKey::of(client(one)) == RateKey::of(client(other)),
            same,
            "{one} {other}"
        );
    }
    let proxy = "10.0.0.1".parse().unwrap();
    assert_eq!(
        RateKey::of(ClientAddr::Ambiguous { proxy }),
        RateKey::of(client("10.0.0.1"))
    );
    let (_, rates) = rates(Some(Rate::per_second(1)), None);
    assert_eq!(passed(&rates, ClientAddr::Unknown, 3), 1);
}

#[test]
fn any_number_of_sources_takes_the_same_room() {
    let (_, rates) = rates(Some(Rate::per_second(1)), None);
    let sources = 4 * BUCKETS as u32;
    let passed = (0..sources).filter(|bits| {
        rates
            .check(ClientAddr::Known(IpAddr::V4((*bits).into())))
            .is_ok()
    });
    // Each bucket lets one through, and nearly all buckets are somebody's.
    let passed = passed.count();
    assert!((BUCKETS * 9 / 10..=BUCKETS).contains(&passed), "{passed}");
    assert_eq!(
        rates.per_source.unwrap().into_state_store().buckets.len(),
        BUCKETS
    );
}

#[test]
fn a_rate_out_of_range_is_named() {
    let clock: Arc<dyn Clock> = Arc::new(Hand::default());
    for rate in [
        Rate::per_second(0),
        Rate::per_minute(5).burst(0),
        Rate::per_second(Rate::MAX + 1),
        Rate::per_second(5).burst(Rate::MAX + 1),
    ] {
        let each = RateSettings {
            per_source: Some(rate),
            total: None,
        };
        let all = RateSettings {
            per_source: None,
            total: Some(rate),
        };
        assert_eq!(each.build(&clock).err(), Some("source_rate_limit"));
        assert_eq!(all.build(&clock).err(), Some("rate_limit"));
    }
}

#[test]
fn a_clock_at_the_end_of_time_is_no_reason_to_fail() {
    let (hand, rates) = rates(Some(Rate::per_minute(1).burst(Rate::MAX)), None);
    *hand.0.lock().unwrap() = Duration::MAX;
    assert_eq!(passed(&rates, ClientAddr::Unknown, 1000), 1000);
}
