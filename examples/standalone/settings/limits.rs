use bytesize::ByteSize;
use clap::Args;
use voipbin_receiver::gate::Limits;

use super::values::{bytes, count, default, size, wait};

/// How much a request may be.
#[derive(Args)]
pub(crate) struct LimitSettings {
    /// The largest body; VoIPBIN takes the 413 of a larger one as final
    #[arg(long, value_name = "SIZE", default_value = size(Limits::DEFAULT_BODY_LIMIT as u64))]
    body_limit: ByteSize,

    /// How long all names and values of the headers may be together
    #[arg(long, value_name = "SIZE", default_value = size(Limits::DEFAULT_HEADER_LIMIT as u64))]
    header_limit: ByteSize,

    /// How many headers there may be
    #[arg(
        long,
        value_name = "N",
        default_value_t = Limits::DEFAULT_HEADER_COUNT_LIMIT,
        value_parser = count()
    )]
    header_count_limit: usize,

    /// How many requests may be read or kept at the same time; more get a 503
    #[arg(
        long,
        value_name = "N",
        default_value_t = Limits::DEFAULT_IN_FLIGHT_LIMIT,
        value_parser = count()
    )]
    in_flight_limit: usize,

    /// How long a body may take to come in
    #[arg(
        long,
        value_name = "TIME",
        default_value = default(Limits::DEFAULT_READ_TIMEOUT),
        value_parser = wait
    )]
    read_timeout: humantime::Duration,
}

impl LimitSettings {
    pub(crate) fn limits(&self) -> Limits {
        Limits::new()
            .body_limit(bytes(self.body_limit))
            .header_limit(bytes(self.header_limit))
            .header_count_limit(self.header_count_limit)
            .in_flight_limit(self.in_flight_limit)
            .read_timeout(*self.read_timeout)
    }
}
