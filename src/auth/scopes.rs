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
