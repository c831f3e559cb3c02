//! The properties on a stable toolchain: given samples, and samples with changes.

use std::fs;
use std::path::Path;

use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

use crate::{edge, envelope, forwarded, mutation, resource, samples, signature, time};

type Property = fn(&[u8]);

const PROPERTIES: [(&str, Property); 6] = [
    ("edge", edge),
    ("envelope", envelope),
    ("forwarded", forwarded),
    ("resource", resource),
    ("signature", signature),
    ("time", time),
];

/// The same for everybody who does not ask for others.
const SEED: u64 = 2026;

fn number<T: std::str::FromStr>(variable: &str, default: T) -> T {
    match std::env::var(variable) {
        Ok(number) => number.parse().ok().expect("a number"),
        Err(_) => default,
    }
}

fn holds_for_mutations(name: &str, iterations: u32) {
    let (_, property) = PROPERTIES.iter().find(|(known, _)| *known == name).unwrap();
    let iterations = number("FUZZ_ITERATIONS", iterations);
    let seed = number("FUZZ_SEED", SEED);
    println!("{name}: FUZZ_ITERATIONS={iterations} FUZZ_SEED={seed}");
    let mut runner = TestRunner::new(Config {
        cases: iterations,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    });
    let inputs = mutation::mutated(samples::of(name));
    let outcome = runner.run(&inputs, |bytes| {
        property(&bytes);
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, bytes)) => {
            panic!("{reason}\n{name}(b\"{}\")", bytes.escape_ascii())
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

macro_rules! hold_for_mutations {
    ($($property:ident $test:ident $iterations:literal)+) => {$(
        #[test]
        fn $test() {
            holds_for_mutations(stringify!($property), $iterations);
        }
    )+};
}

hold_for_mutations! {
    edge any_request_is_answered_as_documented 1500
    envelope any_body_is_what_an_independent_parser_says 4000
    forwarded a_client_cannot_forge_what_a_proxy_tells_of_it 4000
    resource any_payload_reads_and_comes_back 3000
    signature a_signature_has_one_spelling_and_a_diagnosis_no_secret 2000
    time any_text_is_a_time_in_every_form_or_none 5000
}

/// With `FUZZ_CORPUS=tests/fuzz/corpus` they are written there, for cargo-fuzz to begin with.
#[test]
fn every_property_holds_for_its_samples_and_is_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let corpus = std::env::var_os("FUZZ_CORPUS").map(|folder| root.join(folder));
    for (name, property) in PROPERTIES {
        let samples = samples::of(name);
        samples.iter().for_each(|sample| property(sample));
        if let Some(corpus) = &corpus {
            let folder = corpus.join(name);
            fs::create_dir_all(&folder).unwrap();
            for (number, sample) in samples.iter().enumerate() {
                fs::write(folder.join(format!("sample-{number}")), sample).unwrap();
            }
        }
    }
    let targets = fs::read_dir(root.join("tests/fuzz/targets")).unwrap();
    let mut targets: Vec<String> = targets
        .map(|target| {
            target
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    targets.sort();
    assert_eq!(targets, PROPERTIES.map(|(name, _)| name));
}
