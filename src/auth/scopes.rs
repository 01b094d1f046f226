//! Scopes of API keys and how a granted scope covers a required one (`spec` http-api, sections 2.9 and 2.10).

/// Whether `granted` covers `required`: equal, or a wildcard `a:b:*` over everything below `a:b:`.
pub fn covers(granted: &str, required: &str) -> bool {
    granted == required
        || granted
            .strip_suffix('*')
            .is_some_and(|prefix| prefix.ends_with(':') && required.starts_with(prefix))
}

/// Whether any of the granted scopes covers the required one.
pub fn any_covers(granted: &[String], required: &str) -> bool {
    granted.iter().any(|scope| covers(scope, required))
}

/// Every scope that a key of an environment may have.
pub const OF_ENVIRONMENT: &[&str] = &[
    "environment:*",
    "environment:integrations:list",
    "environment:integrations:list_credentials",
    "environment:integrations:list_functions",
    "environment:integrations:read",
    "environment:integrations:read_credentials",
    "environment:integrations:create",
    "environment:integrations:update",
    "environment:integrations:delete",
    "environment:integrations:*",
    "environment:connections:list",
    "environment:connections:list_credentials",
    "environment:connections:read",
    "environment:connections:read_credentials",
    "environment:connections:create",
    "environment:connections:update",
    "environment:connections:delete",
    "environment:connections:*",
    "environment:connect_sessions:write",
    "environment:syncs:read",
    "environment:syncs:execute",
    "environment:syncs:update",
    "environment:syncs:variant:create",
    "environment:syncs:variant:delete",
    "environment:syncs:*",
    "environment:functions:list",
    "environment:functions:read",
    "environment:functions:delete",
    "environment:functions:compile",
    "environment:functions:dryrun",
    "environment:functions:invocations",
    "environment:functions:*",
    "environment:deploy",
    "environment:records:read",
    "environment:records:write",
    "environment:records:*",
    "environment:logs:read",
    "environment:actions:execute",
    "environment:actions:*",
    "environment:proxy",
    "environment:variables:read",
    "environment:webhook_signing_key:rotate",
    "environment:mcp",
];

/// Every scope that a key of the account may have.
pub const OF_ACCOUNT: &[&str] = &[
    "account:*",
    "account:environments:create",
    "account:environments:delete",
    "account:environments:set_production",
    "account:environments:api_keys:create",
    "account:environments:api_keys:delete",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_cover_what_is_below_them() {
        for (granted, required, expected) in [
            ("environment:proxy", "environment:proxy", true),
            ("environment:*", "environment:connections:read", true),
            ("environment:syncs:*", "environment:syncs:variant:create", true),
            ("environment:*", "account:environments:create", false),
            ("environment:syncs:*", "environment:syncs", false),
            ("environment:connections:read", "environment:connections:read_credentials", false),
            ("*", "environment:proxy", false),
            ("env*", "environment:proxy", false),
        ] {
            assert_eq!(covers(granted, required), expected, "{granted} / {required}");
        }
    }
}
