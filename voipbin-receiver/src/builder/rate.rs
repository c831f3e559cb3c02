//! Settings of how often requests may come.

use super::ReceiverBuilder;
use crate::gate::Rate;

impl ReceiverBuilder {
    /// How often requests may come from one source; as often as they like by default. An IPv6
    /// source is a network of 64 bits.
    ///
    /// More get a 503 before their body is read. A 429 would say it better, but the sender takes
    /// that for final: after a 503 it tries again, twice within seconds. Set it well above what
    /// VoIPBIN sends, which is all events of an account, perhaps from one address: this is against
    /// strangers, whose signatures take time to be checked.
    ///
    /// Sources are told apart by [`PeerAddr`](crate::gate::PeerAddr) and
    /// [`trust_proxies`](Self::trust_proxies); requests of which nobody says where they come from
    /// share one limit. It takes half a megabyte of memory, from however many sources requests
    /// come: two sources in some 65,000 share a limit by chance.
    ///
    /// ```
    /// use voipbin_receiver::Receiver;
    /// use voipbin_receiver::catalog::Any;
    /// use voipbin_receiver::gate::Rate;
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .source_rate_limit(Rate::per_second(500).burst(2000))
    ///     .rate_limit(Rate::per_second(5000))
    ///     .on(Any, || async {})
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn source_rate_limit(mut self, rate: Rate) -> Self {
        self.gate.rates.per_source = Some(rate);
        self
    }

    /// How often requests may come from all sources together; as often as they like by default.
    /// More get a 503, as with [`source_rate_limit`](Self::source_rate_limit).
    ///
    /// It keeps the machine free for other work. It cannot tell VoIPBIN's requests from others:
    /// without [`allow_sources`](Self::allow_sources) or a limit for each source, a stranger can
    /// use all of it up.
    pub fn rate_limit(mut self, rate: Rate) -> Self {
        self.gate.rates.total = Some(rate);
        self
    }
}
