//! What must hold for any bytes: a property for each place where they come in from outside.
//!
//! Each is a function that panics when it does not hold. The tests give them samples, as they are
//! and with changes; the programs in `targets` are built by cargo-fuzz, which looks for bytes that
//! reach further.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a property that does not hold ends the run"
)]

mod edge;
mod envelope;
mod forwarded;
mod resource;
mod signature;
mod time;

#[cfg(test)]
mod mutation;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use futures_util::FutureExt;
use http::{Request, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::Value;
use tower_service::Service;
use voipbin_receiver::Receiver;

pub use self::edge::edge;
pub use self::envelope::envelope;
pub use self::forwarded::forwarded;
pub use self::resource::resource;
pub use self::signature::signature;
pub use self::time::time;

/// A program for one property: a target of cargo-fuzz, or without it one that tries the bytes on
/// its standard input.
#[macro_export]
macro_rules! target {
    ($property:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::$property(bytes));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            $crate::try_input($crate::$property)
        }
    };
}

/// Tries a property for the bytes on the standard input.
///
/// # Errors
///
/// When they cannot be read.
pub fn try_input(property: fn(&[u8])) -> io::Result<()> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    property(&bytes);
    Ok(())
}

/// The lines before the first empty one, and all that comes after it.
fn head_and_body(bytes: &[u8]) -> (impl Iterator<Item = &[u8]>, &[u8]) {
    let (head, body) = match bytes.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&bytes[..end], &bytes[end + 2..]),
        None => (bytes, &[][..]),
    };
    (head.split(|byte| *byte == b'\n'), body)
}

/// What a receiver said of a request.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    word: String,
    code: Option<String>,
}

impl Answer {
    fn is_ok(&self) -> bool {
        self.status == StatusCode::OK
    }
}

async fn send<B>(receiver: &Receiver, request: Request<B>) -> Answer
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let response = receiver.service().call(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().now_or_never();
    let body = body.unwrap().unwrap().to_bytes();
    let json: Value = serde_json::from_slice(&body).unwrap();
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let (word, code) = (text("status").unwrap(), text("code"));
    assert_eq!(code.is_some(), status != StatusCode::OK);
    Answer { status, word, code }
}
