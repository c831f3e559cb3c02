use super::object::words;

words! {
    /// The kind of owner.
    pub enum OwnerType {
        /// An agent.
        Agent = "agent",
    }
}
