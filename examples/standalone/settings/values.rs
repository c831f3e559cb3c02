//! How values are written, the same in a flag, a variable and a file.

use std::convert::Infallible;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::{RangedU64ValueParser, TypedValueParser};
use tracing_subscriber::EnvFilter;
#[cfg(feature = "rate-limit")]
use voipbin_receiver::gate::Rate;
use voipbin_receiver::gate::Secret;

/// A time that is not zero.
pub(super) fn wait(text: &str) -> Result<humantime::Duration, String> {
    match text.parse::<humantime::Duration>() {
        Ok(wait) if wait.is_zero() => Err("more than zero is needed".into()),
        Ok(wait) => Ok(wait),
        Err(error) => Err(format!("{error}: say 500ms, 30s, 10m, 2h or 7d")),
    }
}

/// A time that may be zero.
pub(super) fn time(text: &str) -> Result<humantime::Duration, String> {
    text.parse()
        .map_err(|error| format!("{error}: say 0s, 30s, 10m, 2h or 7d"))
}

/// How a default is written that is known as a [`Duration`].
pub(super) fn default(wait: Duration) -> String {
    humantime::format_duration(wait).to_string()
}

/// How a default is written that is known in bytes.
pub(super) fn size(bytes: u64) -> String {
    let rounded = format!("{:.0}", ByteSize(bytes));
    match rounded.parse() {
        Ok(ByteSize(read)) if read == bytes => rounded,
        _ => bytes.to_string(),
    }
}

/// A number that is not zero.
pub(super) fn count() -> impl TypedValueParser<Value = usize> {
    RangedU64ValueParser::new().range(1..)
}

/// As a number in memory; more than fits is all there is.
pub(super) fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

/// What the value of a switch may say. Empty is how many tools say "not set".
pub(super) fn switch(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("say true or false".into()),
    }
}

pub(super) fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::from(text))
}

pub(super) fn path(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err("a path begins with /".into());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%:@+,=".contains(&byte);
    if !path.bytes().all(plain) {
        return Err("use letters, digits and /-._~%:@+,= as they stand in the URL".into());
    }
    Ok(path.to_owned())
}

/// `500/s`, `3000/min`, or either with `burst 2000` behind it.
#[cfg(feature = "rate-limit")]
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    let unknown = || "say 500/s, 3000/min, or 500/s burst 2000".to_owned();
    let number = |digits: &str| match digits.trim().parse() {
        Ok(number @ 1..=Rate::MAX) => Ok(number),
        Ok(_) => Err(format!("1 to {} requests are possible", Rate::MAX)),
        Err(_) => Err(unknown()),
    };
    let (each, burst) = match text.split_once(" burst ") {
        Some((each, burst)) => (each, Some(number(burst)?)),
        None => (text, None),
    };
    let (count, unit) = each.split_once('/').ok_or_else(unknown)?;
    let count = number(count)?;
    let rate = match unit.trim() {
        "s" => Rate::per_second(count),
        "min" => Rate::per_minute(count),
        _ => return Err(unknown()),
    };
    Ok(burst.map_or(rate, |burst| rate.burst(burst)))
}

/// Which logs are written, in the language of `RUST_LOG`.
pub(super) fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{error}: say info, debug, or warn,voipbin_receiver=debug"))
}
