use super::Id;
use super::object::{resource, words};
use crate::event::Time;

resource! {
    /// A server of tools that AIs may call, by the Model Context Protocol. What it is called with
    /// stays at the platform: [`has_secret`](Self::has_secret) only tells that there is something.
    pub struct McpServer {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// A label.
        name: Option<String> = Omit;
        /// A free description.
        detail: Option<String> = Omit;
        /// Where it is.
        url: Option<String> = Omit;
        /// Whether it is used.
        status: Option<McpServerStatus> = Omit;
        /// How the platform shows who it is.
        auth_type: Option<McpServerAuthType> = Always;
        /// The header that an API key goes into.
        api_key_header: Option<String> = Omit;
        /// Who grants access by OAuth.
        oauth_vendor: Option<String> = Omit;
        /// Whether the platform holds a secret for it.
        has_secret: bool = Always;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

words! {
    /// Whether an MCP server is used.
    pub enum McpServerStatus {
        /// It is.
        Active = "active",
        /// It is not.
        Disabled = "disabled",
    }
}

words! {
    /// How the platform shows an MCP server who it is; none for not at all.
    pub enum McpServerAuthType {
        /// By a bearer token.
        Bearer = "bearer",
        /// By a key in a header.
        ApiKey = "api_key",
        /// By OAuth.
        Oauth = "oauth",
    }
}
