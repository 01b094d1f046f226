//! Where the server listens and how it is reached.

use std::time::Duration;

use url::Url;

use super::reader::Reader;

/// Addresses and limits of the listeners.
#[derive(Debug)]
pub struct HttpConfig {
    pub host: String,
    pub port: u16,
    /// Where the operator's routes and the metrics answer, if not with everything else.
    pub admin_port: Option<u16>,
    /// Where the metrics answer, besides the operator's port.
    pub metrics_port: Option<u16>,
    /// Public base URL, never with a trailing slash.
    pub server_url: String,
    pub public_server_url: String,
    /// Base of `connect_link`; ends with a slash.
    pub connect_url: String,
    pub websocket_path: String,
    pub trusted_proxy_hops: usize,
    pub keep_alive: Duration,
    /// Threads that serve connections; 0 serves them on the runtime of everything else.
    pub lanes: usize,
    /// Bytes.
    pub body_limit: u64,
    pub shutdown_delay: Duration,
    /// Whether a command line tool that is newer than this server's level of compatibility is refused.
    pub enforces_cli_version: bool,
}

impl HttpConfig {
    pub(super) fn read(reader: &Reader<'_>, warnings: &mut Vec<String>) -> Self {
        let port = ["SERVER_PORT", "PORT", "NANGO_PORT"].iter().find_map(|name| reader.port(name));
        let port = port.unwrap_or(3003);
        let server_url =
            reader.url("NANGO_SERVER_URL").map_or_else(|| format!("http://localhost:{port}"), without_slash);
        let public = reader.url("NANGO_PUBLIC_SERVER_URL").filter(|url| {
            let stray = is_stray_loopback(url, port);
            if stray {
                warnings.push(format!(
                    "NANGO_PUBLIC_SERVER_URL={url} points at a port of this machine where Hitchpost does not listen; it is ignored."
                ));
            }
            !stray
        });
        let own_port = |name: &str| reader.port(name).filter(|port| *port != 0);
        let (admin_port, metrics_port) =
            (own_port("HITCHPOST_ADMIN_PORT"), own_port("HITCHPOST_METRICS_PORT"));
        check_ports(reader, port, admin_port, metrics_port);
        HttpConfig {
            host: reader.text("HITCHPOST_HOST").unwrap_or_else(|| "0.0.0.0".into()),
            port,
            admin_port,
            metrics_port,
            public_server_url: public.map_or_else(|| server_url.clone(), without_slash),
            connect_url: connect_url(reader, &server_url),
            server_url,
            websocket_path: websocket_path(reader),
            trusted_proxy_hops: reader.number("HITCHPOST_TRUSTED_PROXY_HOPS", 1) as usize,
            keep_alive: Duration::from_millis(reader.number("NANGO_SERVER_KEEP_ALIVE_TIMEOUT", 61_000)),
            lanes: lanes(reader),
            body_limit: reader.size("NANGO_SERVER_PUBLIC_BODY_LIMIT", 75 << 20),
            enforces_cli_version: reader.bool("FLAG_ENFORCE_CLI_VERSION", false),
            shutdown_delay: Duration::from_millis(reader.number("SERVER_SHUTDOWN_DELAY_MS", 0)),
        }
    }

    /// The redirect URI of environments that set none.
    pub fn default_callback_url(&self) -> String {
        format!("{}/oauth/callback", self.server_url)
    }
}

/// What is kept off the public port must have one of its own.
fn check_ports(reader: &Reader<'_>, public: u16, admin: Option<u16>, metrics: Option<u16>) {
    if admin == Some(public) {
        reader.complain("HITCHPOST_ADMIN_PORT: expected another port than that of the public API.");
    }
    if metrics == Some(public) || (metrics.is_some() && metrics == admin) {
        reader.complain("HITCHPOST_METRICS_PORT: expected a port that nothing else of this server uses.");
    }
}

/// One a core unless the operator knows better.
fn lanes(reader: &Reader<'_>) -> usize {
    const MOST: u64 = 1_024;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    reader.number("HITCHPOST_LANES", cores as u64).min(MOST) as usize
}

fn without_slash(url: Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// The reference server's sample file names a development dashboard on port 3000.
fn is_stray_loopback(url: &Url, port: u16) -> bool {
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    loopback && url.port_or_known_default() != Some(port)
}

/// Always ends with a slash and has neither query nor fragment.
fn connect_url(reader: &Reader<'_>, server_url: &str) -> String {
    let Some(mut url) = reader.url("NANGO_PUBLIC_CONNECT_URL") else {
        return format!("{server_url}/connect-ui/");
    };
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url.into()
}

fn websocket_path(reader: &Reader<'_>) -> String {
    let path = reader.text("NANGO_SERVER_WEBSOCKETS_PATH").unwrap_or_else(|| "/".into());
    if !path.starts_with('/') {
        reader.complain("NANGO_SERVER_WEBSOCKETS_PATH: expected a path that starts with `/`.");
    }
    path
}
