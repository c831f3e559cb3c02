use super::object::object;

object! {
    /// A tool that an AI wants called.
    pub struct ToolCall {
        /// The id of the tool call; not a UUID.
        id: Option<String> = Always;
        /// `function`.
        kind as "type": Option<String> = Always;
        /// The function and its arguments.
        function: ToolFunction = Always;
    }
}

object! {
    /// The function of a tool call.
    pub struct ToolFunction {
        /// The function.
        name: Option<String> = Always;
        /// Its arguments: JSON in a string.
        arguments: Option<String> = Always;
    }
}
