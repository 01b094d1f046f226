//! The scopes that routes require, as types: the permission of a handler is one of its parameters.

/// Any one of [`Scope::ANY_OF`] is enough; an empty list asks only for an environment.
pub trait Scope: Send + Sync {
    const ANY_OF: &'static [&'static str];
}

macro_rules! scopes {
    ($owner:literal; $($name:ident: [$($scope:literal),*];)*) => {$(
        pub struct $name;

        impl Scope for $name {
            const ANY_OF: &'static [&'static str] = &[$(concat!($owner, ":", $scope)),*];
        }
    )*};
}

scopes! {
    "environment";
    AnyInEnvironment: [];
    IntegrationsList: ["integrations:list", "integrations:list_credentials"];
    IntegrationsRead: ["integrations:read", "integrations:read_credentials"];
    IntegrationsCreate: ["integrations:create"];
    IntegrationsUpdate: ["integrations:update"];
    IntegrationsDelete: ["integrations:delete"];
    IntegrationsListFunctions: ["integrations:list_functions"];
    ConnectionsList: ["connections:list", "connections:list_credentials"];
    ConnectionsRead: ["connections:read", "connections:read_credentials"];
    ConnectionsCreate: ["connections:create"];
    ConnectionsUpdate: ["connections:update"];
    ConnectionsDelete: ["connections:delete"];
    ConnectSessionsWrite: ["connect_sessions:write"];
    VariablesRead: ["variables:read"];
    SigningKeyRotate: ["webhook_signing_key:rotate"];
    LogsRead: ["logs:read"];
    RecordsRead: ["records:read"];
    RecordsWrite: ["records:write"];
    ActionsExecute: ["actions:execute"];
    SyncsRead: ["syncs:read"];
    SyncsExecute: ["syncs:execute"];
    SyncsUpdate: ["syncs:update"];
    SyncsVariantCreate: ["syncs:variant:create"];
    SyncsVariantDelete: ["syncs:variant:delete"];
    FunctionsList: ["functions:list"];
    FunctionsRead: ["functions:read"];
    FunctionsDelete: ["functions:delete"];
    FunctionsCompile: ["functions:compile"];
    FunctionsDryrun: ["functions:dryrun"];
    FunctionsInvocations: ["functions:invocations"];
    Deploy: ["deploy"];
    Mcp: ["mcp"];
    Proxy: ["proxy"];
}

scopes! {
    "account";
    AccountEverything: ["*"];
    EnvironmentsCreate: ["environments:create"];
    EnvironmentsDelete: ["environments:delete"];
    EnvironmentKeysCreate: ["environments:api_keys:create"];
    EnvironmentKeysDelete: ["environments:api_keys:delete"];
}
