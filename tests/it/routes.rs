//! The list of routes and their methods, next to the documented one.

use hitchpost::api;

use crate::support::{Client, TestApp, run};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// The route index of the documentation, parameters without names. `GET` includes `HEAD`. Where a literal shadows a
/// parameter, the other methods of the parameter's route are listed too.
const DOCUMENTED: &[(&str, &str)] = &[
    ("/", "GET"),
    ("/openapi.json", "GET"),
    ("/health", "GET"),
    ("/ready", "GET"),
    ("/providers.json", "GET"),
    ("/images/template-logos/{}", "GET"),
    ("/providers", "GET"),
    ("/providers/{}", "GET"),
    ("/providers/{}/templates", "GET"),
    ("/integrations", "GET POST"),
    ("/integrations/quickstart", "POST GET PATCH DELETE"),
    ("/integrations/{}", "GET PATCH DELETE"),
    ("/integrations/{}/functions", "GET"),
    ("/integrations/{}/functions/{}", "GET DELETE"),
    ("/integrations/{}/functions/{}/code", "GET"),
    ("/connections", "GET POST"),
    ("/connections/{}", "GET PATCH DELETE"),
    ("/connections/metadata", "POST PATCH GET DELETE"),
    ("/connection", "GET POST"),
    ("/connection/{}", "GET DELETE"),
    ("/connection/metadata", "POST PATCH GET DELETE"),
    ("/connection/{}/metadata", "POST PATCH"),
    ("/config/{}", "GET"),
    ("/connect/sessions", "POST"),
    ("/connect/sessions/reconnect", "POST"),
    ("/connect/session", "GET DELETE"),
    ("/connect/telemetry", "POST"),
    ("/environments", "POST"),
    ("/environments/{}", "DELETE"),
    ("/environment/api-keys", "POST DELETE"),
    ("/environment-variables", "GET"),
    ("/environment/webhook-signing-key/rotate", "POST"),
    ("/records", "GET"),
    ("/records/prune", "PATCH"),
    ("/action/trigger", "POST"),
    ("/action/{}", "GET"),
    ("/v1/{}", "GET POST PUT PATCH DELETE"),
    ("/sync/trigger", "POST"),
    ("/sync/pause", "POST"),
    ("/sync/start", "POST"),
    ("/sync/status", "GET"),
    ("/sync/update-connection-frequency", "PUT"),
    ("/sync/{}/variant/{}", "POST DELETE"),
    ("/scripts/config", "GET"),
    ("/mcp", "POST GET"),
    ("/webhook/{}/{}", "POST"),
    ("/sync/deploy", "POST"),
    ("/sync/deploy/confirmation", "POST"),
    ("/functions/deployments/bundle", "POST"),
    ("/functions/deployments/bundle/preview", "POST"),
    ("/functions/compile", "POST"),
    ("/functions/dryruns", "POST"),
    ("/functions/dryruns/{}", "GET"),
    ("/functions/dryruns/{}/result", "POST"),
    ("/functions/deployments", "POST"),
    ("/functions/deployments/{}", "GET"),
    ("/functions/deployments/{}/result", "POST"),
    ("/functions/invocations", "POST"),
    ("/cli/telemetry", "POST"),
    ("/api/v1/environments", "GET POST PATCH DELETE"),
    ("/api/v1/environments/current", "GET"),
    ("/api/v1/environments/variables", "GET POST"),
    ("/api/v1/environments/webhook", "GET PATCH"),
    ("/api/v1/webhook-deliveries", "GET"),
    ("/api/v1/webhook-deliveries/replay", "POST"),
    ("/api/v1/webhook-deliveries/{}", "GET"),
    ("/api/v1/webhook-deliveries/{}/replay", "POST"),
    ("/api/v1/environment/api-keys", "GET POST"),
    ("/api/v1/environment/api-keys/{}", "DELETE"),
    ("/api/v1/environment/webhook-signing-key/rotate", "POST"),
    ("/api/v1/account/api-keys", "GET POST"),
    ("/api/v1/account/api-keys/{}", "DELETE"),
    ("/api/v1/jobs", "GET"),
    ("/api/v1/audit-trail", "GET"),
    ("/api/v1/audit-trail/export", "GET"),
    ("/api/v1/logs/operations", "POST"),
    ("/api/v1/logs/operations/{}", "GET"),
    ("/api/v1/logs/messages", "POST"),
    ("/api/v1/logs/filters", "POST"),
    ("/api/v1/logs/insights", "POST"),
    ("/api/v1/connect/sessions", "POST"),
    ("/api/v1/connect-ui-settings", "GET PUT"),
    ("/oauth/callback", "GET"),
    ("/oauth/client-metadata/{}/{}", "GET"),
    ("/oauth/connect/{}", "GET"),
    ("/oauth2/auth/{}", "POST"),
    ("/app-auth/connect", "GET"),
    ("/api-auth/api-key/{}", "POST"),
    ("/api-auth/basic/{}", "POST"),
    ("/auth/oauth-outbound/{}", "POST"),
    ("/auth/tba/{}", "POST"),
    ("/auth/two-step/{}", "POST"),
    ("/auth/jwt/{}", "POST"),
    ("/auth/bill/{}", "POST"),
    ("/auth/aws-sigv4/{}", "POST"),
    ("/auth/signature/{}", "POST"),
    ("/auth/unauthenticated/{}", "POST"),
];

/// Documented routes that may still be missing. The proxy is not listed: it has routing rules of its own.
const NOT_YET: &[&str] = &[];

/// A pattern without the names of its parameters.
fn nameless(pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_is_documented_and_every_documented_route_is_there() {
    let routed: Vec<String> = api::patterns().into_iter().map(nameless).collect();
    let unknown: Vec<&String> =
        routed.iter().filter(|path| !DOCUMENTED.iter().any(|(documented, _)| documented == path)).collect();
    assert!(unknown.is_empty(), "not in the documentation: {unknown:?}");
    let missing: Vec<&str> = DOCUMENTED
        .iter()
        .map(|(path, _)| *path)
        .filter(|path| !NOT_YET.contains(path) && !routed.iter().any(|routed| routed == path))
        .collect();
    assert!(missing.is_empty(), "documented, but not routed: {missing:?}");
}

#[test]
fn every_route_answers_to_its_documented_methods_only() {
    run(async {
        let app = TestApp::start().await;
        let nobody = app.anonymous();
        for pattern in api::patterns() {
            let path = nameless(pattern);
            let documented = DOCUMENTED.iter().find(|(documented, _)| *documented == path);
            let documented = documented.map_or("", |(_, methods)| methods);
            for method in METHODS {
                let is_documented = documented.split(' ').any(|one| one == method);
                assert_eq!(is_routed(&nobody, method, &path).await, is_documented, "{method} {path}");
            }
        }
        for path in ["/sync/deploy/internal", "/env.js", "/nope"] {
            assert!(
                !is_routed(&nobody, "POST", path).await && !is_routed(&nobody, "GET", path).await,
                "{path}"
            );
        }
    });
}

/// Whether a handler answers, be it with a refusal.
async fn is_routed(client: &Client, method: &str, path: &str) -> bool {
    let reply = client.ask(method, path.replace("{}", "x")).send().await;
    let is_elsewhere = reply.text().contains("There is nothing at this address.");
    assert_eq!(is_elsewhere, is_elsewhere && reply.status == 404);
    !is_elsewhere
}
