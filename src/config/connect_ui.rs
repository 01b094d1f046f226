//! Where the Connect UI is served, who may frame it, and which API it may talk to.

use url::Url;

use super::reader::Reader;

const PORT_NAMES: [&str; 2] = ["NANGO_CONNECT_UI_PORT", "CONNECT_UI_PORT"];
const DEFAULT_PORT: u16 = 3009;

#[derive(Debug)]
pub struct ConnectUiConfig {
    pub is_served: bool,
    /// Its own port, besides its path on the main one.
    pub port: Option<u16>,
    /// Whether the operator asked for that port: else a busy one is no reason not to start.
    pub port_is_required: bool,
    /// Source expressions of the policy's `frame-ancestors`.
    pub frame_ancestors: Vec<String>,
    /// Origins besides the server's own that `apiURL` may name.
    pub api_origins: Vec<String>,
}

impl ConnectUiConfig {
    pub(super) fn read(reader: &Reader<'_>, main_port: u16) -> Self {
        let asked = PORT_NAMES.iter().find_map(|name| reader.port(name));
        if asked.is_some_and(|port| port == main_port) {
            reader.complain(
                "NANGO_CONNECT_UI_PORT: expected another port than that of the server; 0 switches it off.",
            );
        }
        let port = asked.unwrap_or(DEFAULT_PORT);
        let is_served = reader.bool("FLAG_SERVE_CONNECT_UI", true);
        ConnectUiConfig {
            is_served,
            port: Some(port).filter(|port| is_served && *port != 0 && *port != main_port),
            port_is_required: asked.is_some(),
            frame_ancestors: frame_ancestors(reader),
            api_origins: api_origins(reader),
        }
    }
}

fn frame_ancestors(reader: &Reader<'_>) -> Vec<String> {
    let name = "HITCHPOST_CONNECT_UI_FRAME_ANCESTORS";
    let sources = reader.list(name);
    if sources.is_empty() {
        return vec!["*".to_owned()];
    }
    if sources.iter().any(|source| !is_ancestor_source(source)) {
        reader.complain(format!(
            "{name}: expected a comma list of origins such as `https://app.example.com`, `https://*.example.com` or `'self'`."
        ));
    }
    sources
}

/// `ancestor-source` of CSP 3, without what could end the directive.
fn is_ancestor_source(source: &str) -> bool {
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/*[]%".contains(&byte);
    matches!(source, "'self'" | "'none'") || source.bytes().all(is_host_byte)
}

fn api_origins(reader: &Reader<'_>) -> Vec<String> {
    let name = "HITCHPOST_CONNECT_UI_API_ORIGINS";
    let mut origins = Vec::new();
    for text in reader.list(name) {
        match Url::parse(&text).map(|url| url.origin()) {
            Ok(origin) if origin.is_tuple() => origins.push(origin.ascii_serialization()),
            _ => reader.complain(format!(
                "{name}: expected a comma list of origins such as `https://api.example.com`."
            )),
        }
    }
    origins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> (ConnectUiConfig, Vec<String>) {
        let lookup =
            |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let reader = Reader::new(&lookup);
        let config = ConnectUiConfig::read(&reader, 3003);
        (config, reader.into_problems())
    }

    #[test]
    fn the_page_has_a_port_unless_told_otherwise() {
        for (values, port, is_required) in [
            (vec![], Some(3009), false),
            (vec![("NANGO_CONNECT_UI_PORT", "4000"), ("CONNECT_UI_PORT", "5000")], Some(4000), true),
            (vec![("CONNECT_UI_PORT", "5000")], Some(5000), true),
            (vec![("NANGO_CONNECT_UI_PORT", "0")], None, true),
            (vec![("FLAG_SERVE_CONNECT_UI", "false")], None, false),
        ] {
            let (config, problems) = read(&values);
            assert_eq!((config.port, config.port_is_required), (port, is_required), "{values:?}");
            assert!(problems.is_empty(), "{problems:?}");
        }
    }

    #[test]
    fn ancestors_and_origins_are_checked() {
        let (config, problems) = read(&[
            ("HITCHPOST_CONNECT_UI_FRAME_ANCESTORS", "'self', https://*.acme.test"),
            ("HITCHPOST_CONNECT_UI_API_ORIGINS", "https://api.acme.test/path"),
        ]);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(config.frame_ancestors, ["'self'", "https://*.acme.test"]);
        assert_eq!(config.api_origins, ["https://api.acme.test"]);
        let (_, problems) = read(&[
            ("HITCHPOST_CONNECT_UI_FRAME_ANCESTORS", "https://a.test; script-src *"),
            ("HITCHPOST_CONNECT_UI_API_ORIGINS", "acme.test,mailto:a@b"),
            ("NANGO_CONNECT_UI_PORT", "3003"),
        ]);
        let names: Vec<_> = problems.iter().filter_map(|problem| problem.split(':').next()).collect();
        assert_eq!(
            names,
            [
                "NANGO_CONNECT_UI_PORT",
                "HITCHPOST_CONNECT_UI_FRAME_ANCESTORS",
                "HITCHPOST_CONNECT_UI_API_ORIGINS"
            ]
        );
    }
}
