use clap::Args;
use clap::builder::RangedU64ValueParser;
use voipbin_receiver::{HandlerOptions, ReceiverBuilder, RetryPolicy};

use super::values::{count, default, time, wait};

/// How handlers run, and when what failed is tried again.
#[derive(Args)]
pub(crate) struct HandlerSettings {
    /// How many handlers may run at once
    #[arg(
        long,
        value_name = "N",
        default_value_t = ReceiverBuilder::DEFAULT_CONCURRENCY,
        value_parser = count()
    )]
    concurrency: usize,

    /// How long one run of a handler may take; for ever without it
    #[arg(long, value_name = "TIME", value_parser = wait)]
    handler_timeout: Option<humantime::Duration>,

    /// How many attempts there are in all before an event is a dead letter
    #[arg(
        long,
        value_name = "N",
        default_value_t = RetryPolicy::DEFAULT_ATTEMPTS,
        value_parser = RangedU64ValueParser::<u32>::new().range(1..)
    )]
    attempts: u32,

    /// The wait before the second attempt; each later one is four times as long
    #[arg(
        long,
        value_name = "TIME",
        default_value = default(RetryPolicy::DEFAULT_INITIAL),
        value_parser = time
    )]
    retry_initial: humantime::Duration,

    /// The longest wait between two attempts
    #[arg(
        long,
        value_name = "TIME",
        default_value = default(RetryPolicy::DEFAULT_MAX),
        value_parser = time
    )]
    retry_max: humantime::Duration,

    /// How old an event may be for another attempt
    #[arg(
        long,
        value_name = "TIME",
        default_value = default(RetryPolicy::DEFAULT_MAX_AGE),
        value_parser = time
    )]
    retry_max_age: humantime::Duration,
}

impl HandlerSettings {
    pub(crate) fn apply(&self, builder: ReceiverBuilder) -> ReceiverBuilder {
        let retry = RetryPolicy::default()
            .attempts(self.attempts)
            .initial(*self.retry_initial)
            .max(*self.retry_max)
            .max_age(*self.retry_max_age);
        let options = HandlerOptions::new().retry(retry);
        let options = match self.handler_timeout {
            Some(timeout) => options.timeout(*timeout),
            None => options,
        };
        builder
            .concurrency(self.concurrency)
            .handler_options(options)
    }
}
