//! No limits, where the feature `rate-limit` is off.

use std::sync::Arc;

use super::{ClientAddr, RateExceeded};
use crate::clock::Clock;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateSettings {}

impl RateSettings {
    pub(crate) fn build(self, _: &Arc<dyn Clock>) -> Result<Rates, &'static str> {
        Ok(Rates)
    }
}

pub(crate) struct Rates;

impl Rates {
    pub(crate) fn check(&self, _: ClientAddr) -> Result<(), RateExceeded> {
        Ok(())
    }
}
