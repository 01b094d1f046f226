//! The scopes that routes require, as types: the permission of a handler is one of its parameters.

/// Any one of [`Scope::ANY_OF`] is enough; an empty list asks only for an environment.
pub trait Scope: Send + Sync {
    const ANY_OF: &'static [&'static str];
}

macro_rules! scopes {
    ($($name:ident: [$($scope:literal),*];)*) => {$(
        pub struct $name;

        impl Scope for $name {
            const ANY_OF: &'static [&'static str] = &[$(concat!("environment:", $scope)),*];
        }
    )*};
}

scopes! {
    AnyInEnvironment: [];
    IntegrationsList: ["integrations:list", "integrations:list_credentials"];
    IntegrationsRead: ["integrations:read", "integrations:read_credentials"];
    IntegrationsCreate: ["integrations:create"];
    IntegrationsUpdate: ["integrations:update"];
    IntegrationsDelete: ["integrations:delete"];
    ConnectionsList: ["connections:list", "connections:list_credentials"];
    ConnectionsRead: ["connections:read", "connections:read_credentials"];
    ConnectionsCreate: ["connections:create"];
    ConnectionsUpdate: ["connections:update"];
    ConnectionsDelete: ["connections:delete"];
    ConnectSessionsWrite: ["connect_sessions:write"];
    Proxy: ["proxy"];
}
