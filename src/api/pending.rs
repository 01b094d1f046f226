//! Documented routes whose work this server cannot do yet: callers are authenticated and need the route's scope, then hear
//! 501 `not_implemented`.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::cli_version::check_minimum;
use super::extract::SecretKey;
use super::openapi::{Operation, Tag};
use super::scope::{
    ActionsExecute, AnyInEnvironment, Deploy, FunctionsCompile, FunctionsDryrun, FunctionsInvocations,
    IntegrationsListFunctions, Mcp, RecordsRead, RecordsWrite, Scope, SyncsExecute, SyncsRead, SyncsUpdate,
    SyncsVariantCreate, SyncsVariantDelete,
};
use crate::error::ApiError;

/// These routes in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    let mut operations = vec![
        pending::<RecordsRead>(Operation::get("/records", "list_records", "List records")),
        pending::<RecordsWrite>(Operation::patch("/records/prune", "prune_records", "Empty records")),
        pending::<ActionsExecute>(Operation::post("/action/trigger", "trigger_action", "Run an action")),
        pending::<ActionsExecute>(Operation::get("/action/{id}", "get_action", "Read an action's result"))
            .path_parameter("id", any_text()),
        pending::<SyncsExecute>(Operation::post("/sync/trigger", "trigger_syncs", "Run syncs")),
        pending::<SyncsExecute>(Operation::post("/sync/pause", "pause_syncs", "Pause syncs")),
        pending::<SyncsExecute>(Operation::post("/sync/start", "start_syncs", "Resume syncs")),
        pending::<SyncsRead>(Operation::get("/sync/status", "get_sync_status", "Read the state of syncs")),
        pending::<SyncsUpdate>(Operation::put(
            "/sync/update-connection-frequency",
            "update_sync_frequency",
            "Change how often a sync runs",
        )),
        variant::<SyncsVariantCreate>(Operation::post(VARIANT, "create_sync_variant", "Create a variant")),
        variant::<SyncsVariantDelete>(Operation::delete(VARIANT, "delete_sync_variant", "Delete a variant")),
        pending::<IntegrationsListFunctions>(Operation::get(
            "/scripts/config",
            "list_scripts",
            "List functions",
        )),
        pending::<Mcp>(Operation::post("/mcp", "post_mcp", "Call a tool")),
        Operation::get("/mcp", "get_mcp", "No stream is offered")
            .tag(Tag::Functions)
            .key::<Mcp>()
            .answers_nothing(405, "A JSON-RPC error without a content type.")
            .answer_header(405, "Allow", "Allow"),
        pending::<Deploy>(Operation::post("/sync/deploy", "deploy", "Deploy functions")),
        pending::<Deploy>(Operation::post("/sync/deploy/confirmation", "preview_deploy", "Preview a deploy")),
        pending::<Deploy>(Operation::post(
            "/functions/deployments/bundle",
            "deploy_bundle",
            "Deploy a bundle of functions",
        )),
        pending::<Deploy>(Operation::post(
            "/functions/deployments/bundle/preview",
            "preview_bundle",
            "Preview the deploy of a bundle",
        )),
        pending::<FunctionsCompile>(Operation::post(
            "/functions/compile",
            "compile_function",
            "Compile a function",
        )),
        pending::<FunctionsDryrun>(Operation::post("/functions/dryruns", "start_dryrun", "Try a function")),
        pending::<FunctionsDryrun>(Operation::get("/functions/dryruns/{id}", "get_dryrun", "Read a trial"))
            .path_parameter("id", any_text()),
        result(Operation::post(
            "/functions/dryruns/{id}/result",
            "post_dryrun_result",
            "Hand over a trial's result",
        )),
        pending::<Deploy>(Operation::post("/functions/deployments", "start_deployment", "Deploy a function")),
        pending::<Deploy>(Operation::get(
            "/functions/deployments/{id}",
            "get_deployment",
            "Read a deployment",
        ))
        .path_parameter("id", any_text()),
        result(Operation::post(
            "/functions/deployments/{id}/result",
            "post_deployment_result",
            "Hand over a deployment's result",
        )),
        pending::<FunctionsInvocations>(Operation::post(
            "/functions/invocations",
            "invoke_function",
            "Run a function",
        )),
    ];
    let by_path = [
        Operation::get(ENDPOINT, "get_endpoint", "Run a function by its path"),
        Operation::post(ENDPOINT, "post_endpoint", "Run a function by its path"),
        Operation::put(ENDPOINT, "put_endpoint", "Run a function by its path"),
        Operation::patch(ENDPOINT, "patch_endpoint", "Run a function by its path"),
        Operation::delete(ENDPOINT, "delete_endpoint", "Run a function by its path"),
    ];
    operations.extend(by_path.map(|operation| {
        pending::<AnyInEnvironment>(operation).path_parameter("endpoint", any_text()).deprecated()
    }));
    operations
}

const VARIANT: &str = "/sync/{name}/variant/{variant}";
const ENDPOINT: &str = "/v1/{*endpoint}";

fn any_text() -> Value {
    json!({"type": "string"})
}

fn pending<S: Scope>(operation: Operation) -> Operation {
    operation.tag(Tag::Functions).key::<S>().refuses(501, &["not_implemented"])
}

fn variant<S: Scope>(operation: Operation) -> Operation {
    pending::<S>(operation).path_parameter("name", any_text()).path_parameter("variant", any_text())
}

/// Refused to every API key.
fn result(operation: Operation) -> Operation {
    operation.tag(Tag::Functions).key::<AnyInEnvironment>().path_parameter("id", any_text())
}

/// Anything that needs functions, or what they store.
pub async fn not_implemented<S: Scope>(_key: SecretKey<S>) -> ApiError {
    refused()
}

fn refused() -> ApiError {
    ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        "not_implemented",
        "This version of the server does not run functions.",
    )
}

/// A deploy by the command line tool, which must not be too old for it.
pub async fn deploy(_key: SecretKey<Deploy>, headers: HeaderMap) -> ApiError {
    check_minimum(&headers).err().unwrap_or_else(refused)
}

/// Results that remote sandboxes send with tokens of their own; an API key is never enough.
pub async fn sandbox_result(_key: SecretKey<AnyInEnvironment>) -> ApiError {
    ApiError::forbidden("Only a sandbox may send results.")
}

/// There is no stream from the server.
pub async fn refuse_mcp_stream(_key: SecretKey<Mcp>) -> Response {
    let error =
        json!({"jsonrpc": "2.0", "error": {"code": -32000, "message": "Method not allowed."}, "id": null});
    // Wire: without a content type.
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")], Body::from(error.to_string())).into_response()
}
