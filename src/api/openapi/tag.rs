//! The groups of the document.

/// A group of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    Providers,
    Integrations,
    Connections,
    ConnectSessions,
    Environments,
    Proxy,
    Authorization,
    Webhooks,
    Functions,
    Server,
}

impl Tag {
    pub const ALL: [Tag; 10] = [
        Tag::Providers,
        Tag::Integrations,
        Tag::Connections,
        Tag::ConnectSessions,
        Tag::Environments,
        Tag::Proxy,
        Tag::Authorization,
        Tag::Webhooks,
        Tag::Functions,
        Tag::Server,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Tag::Providers => "Providers",
            Tag::Integrations => "Integrations",
            Tag::Connections => "Connections",
            Tag::ConnectSessions => "Connect sessions",
            Tag::Environments => "Environments",
            Tag::Proxy => "Proxy",
            Tag::Authorization => "Authorization",
            Tag::Webhooks => "Webhooks",
            Tag::Functions => "Functions",
            Tag::Server => "Server",
        }
    }

    pub fn description(self) -> &'static str {
        match self {
            Tag::Providers => "The catalog of APIs.",
            Tag::Integrations => "A provider with your own client credentials.",
            Tag::Connections => "Credentials of one end user for one integration.",
            Tag::ConnectSessions => "Let one end user make connections for half an hour.",
            Tag::Environments => "Environments, their API keys, variables and signing keys.",
            Tag::Proxy => "Calls to providers with the credentials of a connection.",
            Tag::Authorization => "What browsers call to make a connection.",
            Tag::Webhooks => "What providers call when something happens there.",
            Tag::Functions => "Integration code. This version runs none and answers 501.",
            Tag::Server => "The server itself.",
        }
    }
}
