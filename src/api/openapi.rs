//! `GET /openapi.json`: the public API as an OpenAPI 3.1 document. Every endpoint module describes its own routes in
//! `operations()`, from the readers and the types that it serves them with; this module lists those parts and puts them
//! together. A test compares the document with the route list, and every answer of the other tests with the document.

mod codes;
mod components;
mod operation;
mod render;
mod tag;

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;
use serde_json::{Map, Value, json};

pub use self::codes::{MEANINGS, meaning};
pub use self::operation::{Caller, Operation};
pub use self::tag::Tag;
use super::{
    api_keys, client_metadata, connect_sessions, connections, credentials, environments, functions, health,
    integrations, json_routes, oauth, own_environment, pending, provider_webhooks, providers, proxy,
    telemetry, websocket,
};

static DOCUMENT: LazyLock<Value> = LazyLock::new(build);
static BYTES: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(DOCUMENT.to_string()));

const DESCRIPTION: &str = "API credentials of end users, the flows that obtain them, and a proxy that uses them. \
    Every error answer is a JSON object whose `error.code` is part of the contract; the header `X-Hitchpost-Error` repeats it.";

/// The document. Public.
pub async fn get_openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], BYTES.clone())
}

/// The document that is served.
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// Every described operation, in the order of the route list.
pub fn operations() -> Vec<Operation> {
    let own = Operation::get("/openapi.json", "get_openapi", "This document")
        .tag(Tag::Server)
        .answers_schema(200, "An OpenAPI 3.1 document.", json!({"type": "object"}));
    let parts = [
        providers::operations(),
        integrations::operations(),
        functions::operations(),
        connections::operations(),
        connect_sessions::operations(),
        environments::operations(),
        api_keys::operations(),
        own_environment::operations(),
        proxy::operations(),
        pending::operations(),
        telemetry::operations(),
        oauth::operations(),
        client_metadata::operations(),
        credentials::operations(),
        provider_webhooks::operations(),
        websocket::operations(),
        health::operations(),
        vec![own],
    ];
    let guarded: Vec<&str> = json_routes().into_iter().map(|(path, _)| path).collect();
    let guard = |operation: Operation| {
        if guarded.contains(&operation.path) { operation.guarded() } else { operation }
    };
    parts.into_iter().flatten().map(guard).collect()
}

fn build() -> Value {
    let operations = operations();
    let mut schemas = components::schemas();
    let mut paths = Map::new();
    for operation in &operations {
        let item = paths.entry(operation.document_path()).or_insert_with(|| json!({}));
        item[operation.method] = operation.to_json();
        for (name, schema) in &operation.schemas {
            schemas.entry(name).or_insert_with(|| schema.clone());
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hitchpost",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": Tag::ALL.map(|tag| json!({"name": tag.name(), "description": tag.description()})),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": components::security_schemes(),
            "headers": components::headers(),
        },
    })
}
