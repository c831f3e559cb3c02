//! What must hold for any bytes: a property for each place where they come in from outside.
//!
//! Each is a function that panics when it does not hold. The targets in `tests/fuzz` give them to
//! cargo-fuzz, which sets `--cfg fuzzing`; `tests.rs` gives them mutated samples on a stable toolchain.
//! No other build has this module.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a property that does not hold ends the run"
)]

#[cfg(feature = "testing")]
mod edge;
mod envelope;
mod forwarded;
pub(crate) mod resource;
#[cfg(feature = "testing")]
mod signature;
mod time;

#[cfg(all(test, feature = "testing"))]
mod mutation;
#[cfg(all(test, feature = "testing"))]
mod samples;
#[cfg(all(test, feature = "testing"))]
mod tests;

#[cfg(feature = "testing")]
pub use self::edge::edge;
pub use self::envelope::envelope;
pub use self::forwarded::forwarded;
pub use self::resource::resource;
#[cfg(feature = "testing")]
pub use self::signature::signature;
pub use self::time::time;

/// The lines before the first empty one, and all that comes after it.
fn head_and_body(bytes: &[u8]) -> (impl Iterator<Item = &[u8]>, &[u8]) {
    let (head, body) = match bytes.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&bytes[..end], &bytes[end + 2..]),
        None => (bytes, &[][..]),
    };
    (head.split(|byte| *byte == b'\n'), body)
}
