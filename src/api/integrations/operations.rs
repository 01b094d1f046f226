//! The routes of integrations in the OpenAPI document.

use serde_json::json;

use super::deprecated::{ConfigDetails, ConfigSummary};
use super::input::{IntegrationPatch, NewIntegration, QuickstartIntegration};
use super::read_include;
use super::view::IntegrationBody;
use crate::api::body::Done;
use crate::api::input::TextRule;
use crate::api::input::formats::PROVIDER_CONFIG_KEY;
use crate::api::openapi::{Operation, Tag};
use crate::api::scope::{
    IntegrationsCreate, IntegrationsDelete, IntegrationsList, IntegrationsRead, IntegrationsUpdate,
};

pub fn operations() -> Vec<Operation> {
    const ALL: &str = "/integrations";
    const ONE: &str = "/integrations/{uniqueKey}";
    let one = |operation: Operation| {
        operation
            .tag(Tag::Integrations)
            .path_text("uniqueKey", &PROVIDER_CONFIG_KEY)
            .refuses(404, &["not_found"])
    };
    vec![
        Operation::get(ALL, "list_integrations", "List integrations")
            .describe("A connect session sees those that it allows.")
            .tag(Tag::Integrations)
            .key_or_session::<IntegrationsList>()
            .no_query()
            .answers_list::<IntegrationBody>(200, "The integrations."),
        Operation::post(ALL, "create_integration", "Create an integration")
            .tag(Tag::Integrations)
            .key::<IntegrationsCreate>()
            .no_query()
            .body(NewIntegration::read)
            .answers_data::<IntegrationBody>(200, "The new integration."),
        Operation::post(
            "/integrations/quickstart",
            "create_quickstart_integration",
            "Use a shared application",
        )
        .describe("This server has no shared applications, so the answer is always a refusal.")
        .tag(Tag::Integrations)
        .key::<IntegrationsCreate>()
        .no_query()
        .body(QuickstartIntegration::read),
        one(Operation::get(ONE, "get_integration", "Read an integration"))
            .key::<IntegrationsRead>()
            .query(read_include)
            .answers_data::<IntegrationBody>(200, "The integration."),
        one(Operation::patch(ONE, "update_integration", "Change an integration"))
            .key::<IntegrationsUpdate>()
            .no_query()
            .body(IntegrationPatch::read)
            .answers_data::<IntegrationBody>(200, "The changed integration."),
        one(Operation::delete(ONE, "delete_integration", "Delete an integration and its connections"))
            .key::<IntegrationsDelete>()
            .no_query()
            .answers::<Done>(200, "The integration is gone."),
        get_config(),
    ]
}

fn get_config() -> Operation {
    let summary = json!({"$ref": "#/components/schemas/ConfigSummary"});
    let details = json!({"$ref": "#/components/schemas/ConfigDetails"});
    let config = json!({"anyOf": [{"allOf": [summary, details]}, summary]});
    let answer = json!({"type": "object", "properties": {"config": config}, "required": ["config"]});
    Operation::get("/config/{providerConfigKey}", "get_config", "Read an integration")
        .describe("Use `GET /integrations/{uniqueKey}`.")
        .tag(Tag::Integrations)
        .deprecated()
        .key::<IntegrationsRead>()
        .parameter("query", "include_creds", json!({"type": "string"}))
        .path_text("providerConfigKey", &TextRule::ANY)
        .schema::<ConfigSummary>()
        .schema::<ConfigDetails>()
        .answers_schema(200, "The integration; with `include_creds=true` everything about it.", answer)
        .refuses(400, &["unknown_provider_config", "unknown_provider_template"])
}
