//! Inboxes that a test has a hand in.

mod before_retry;
mod held;
mod prepared;
mod refusing;
mod watched;

pub use self::before_retry::BeforeRetry;
pub use self::held::HeldInbox;
pub use self::prepared::PreparedInbox;
pub use self::refusing::RefusingInbox;
pub use self::watched::Watched;
