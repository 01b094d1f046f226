//! One route as the document tells it. Handlers' modules build these; the calls mirror the handler's own steps, so that what
//! each step can refuse is declared by saying that the step is there.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::tag::Tag;
use crate::api::input::shape::{describe_object, text};
use crate::api::input::{ObjectReader, ROW_ID, TextRule};
use crate::api::scope::Scope;

const AUTHENTICATION: [&str; 3] = ["missing_auth_header", "malformed_auth_header", "unknown_account"];
const SESSION: [&str; 2] = ["invalid_connect_session_token_format", "unknown_connect_session_token"];

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Nobody,
    /// Anybody, limited by address.
    Address,
    /// An API key with one of the scopes.
    Key(&'static [&'static str]),
    Session,
    /// A session whose token is a member of the body.
    BodySession,
    KeyOrSession(&'static [&'static str]),
    /// A session or a public key, in the query.
    Browser,
}

pub(super) struct Answer {
    pub(super) description: &'static str,
    /// Schemas by media type; none for an empty body.
    pub(super) content: Map<String, Value>,
    /// Names of header components, by header.
    pub(super) headers: Vec<(&'static str, &'static str)>,
}

/// One method of one path.
pub struct Operation {
    pub method: &'static str,
    /// As the route list writes it.
    pub path: &'static str,
    pub id: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: Option<&'static str>,
    pub(super) tag: Tag,
    pub(super) caller: Caller,
    pub(super) is_deprecated: bool,
    pub(super) is_forwarded: bool,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    pub(super) answers: BTreeMap<u16, Answer>,
    /// The codes of each error status.
    pub refusals: BTreeMap<u16, Vec<&'static str>>,
    /// Media types of error answers beside JSON.
    pub(super) pages_for: &'static [&'static str],
    /// Named schemas that the operation refers to.
    pub schemas: Vec<(String, Value)>,
}

impl Operation {
    fn new(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        let operation = Operation {
            method,
            path,
            id,
            summary,
            description: None,
            tag: Tag::Server,
            caller: Caller::Nobody,
            is_deprecated: false,
            is_forwarded: false,
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            refusals: BTreeMap::new(),
            pages_for: &[],
            schemas: Vec::new(),
        };
        operation
            .refuses(500, &["generic_error_support", "server_error"])
            .refuses(400, &["invalid_cli_version"])
    }

    pub fn get(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new("get", path, id, summary)
    }

    pub fn post(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new("post", path, id, summary)
    }

    pub fn put(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new("put", path, id, summary)
    }

    pub fn patch(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new("patch", path, id, summary)
    }

    pub fn delete(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new("delete", path, id, summary)
    }

    pub fn tag(self, tag: Tag) -> Self {
        Operation { tag, ..self }
    }

    pub fn describe(self, description: &'static str) -> Self {
        Operation { description: Some(description), ..self }
    }

    pub fn deprecated(self) -> Self {
        Operation { is_deprecated: true, ..self }
    }

    /// An extractor `SecretKey<S>` or `AccountKey<S>`.
    pub fn key<S: Scope>(self) -> Self {
        self.caller(Caller::Key(S::ANY_OF))
    }

    /// An extractor `KeyOrSession<S>`.
    pub fn key_or_session<S: Scope>(self) -> Self {
        self.caller(Caller::KeyOrSession(S::ANY_OF))
    }

    /// Who may call, and what others hear.
    pub fn caller(self, caller: Caller) -> Self {
        let operation = Operation { caller, ..self };
        match caller {
            Caller::Nobody => operation,
            Caller::Address => operation.refuses(429, &["too_many_request"]),
            Caller::Key(_) => {
                operation.authenticates(&["invalid_secret_key_format"]).refuses(403, &["forbidden"])
            }
            Caller::Session | Caller::BodySession => operation.authenticates(&SESSION),
            Caller::KeyOrSession(_) => operation
                .authenticates(&["invalid_secret_key_format"])
                .authenticates(&SESSION)
                .refuses(403, &["forbidden"]),
            Caller::Browser => operation
                .refuses(401, &SESSION)
                .refuses(
                    401,
                    &[
                        "unknown_account",
                        "missing_public_key",
                        "invalid_public_key",
                        "deprecated_authentication",
                    ],
                )
                .refuses(429, &["too_many_request"]),
        }
    }

    fn authenticates(self, codes: &[&'static str]) -> Self {
        self.refuses(401, &AUTHENTICATION).refuses(401, codes).refuses(429, &["too_many_request"])
    }

    /// A route behind the content-type guard.
    pub fn guarded(self) -> Self {
        self.refuses(400, &["invalid_json"])
            .refuses(413, &["request_too_large"])
            .refuses(415, &["invalid_content_type"])
    }

    /// A parameter of the path under a rule.
    pub fn path_text(self, name: &'static str, rule: &TextRule) -> Self {
        self.path_parameter(name, text(rule)).refuses(400, &["invalid_uri_params"])
    }

    /// A parameter of the path that is a row id.
    pub fn path_id(self, name: &'static str) -> Self {
        let schema = json!({"type": "integer", "minimum": ROW_ID.start(), "maximum": ROW_ID.end()});
        self.path_parameter(name, schema).refuses(400, &["invalid_uri_params"])
    }

    /// A parameter of the path that nothing judges.
    pub fn path_parameter(mut self, name: &'static str, schema: Value) -> Self {
        self.parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
        self
    }

    /// A parameter of the query or a header, when the handler reads it by itself.
    pub fn parameter(mut self, place: &'static str, name: &'static str, schema: Value) -> Self {
        self.parameters.push(json!({"name": name, "in": place, "required": false, "schema": schema}));
        self
    }

    /// A parameter of the query whose members are in brackets, when the handler reads it by itself.
    pub fn object_parameter(mut self, name: &'static str, schema: Value) -> Self {
        self.parameters.push(query_parameter(name, schema, false));
        self
    }

    /// Makes the last parameter a required one.
    pub fn required(mut self) -> Self {
        if let Some(parameter) = self.parameters.last_mut() {
            parameter["required"] = json!(true);
        }
        self
    }

    /// The query, as the handler reads it.
    pub fn query<'a, T>(mut self, read: impl FnOnce(&mut ObjectReader<'a>) -> T) -> Self {
        let schema = describe_object(read);
        let is_required = |name: &str| {
            schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name))
        };
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            self.parameters.push(query_parameter(name, member.clone(), is_required(name)));
        }
        self.refuses(400, &["invalid_query_params"])
    }

    /// A query that must be empty.
    pub fn no_query(self) -> Self {
        self.query(|_| ())
    }

    /// The JSON body, as the handler reads it.
    pub fn body<'a, T>(self, read: impl FnOnce(&mut ObjectReader<'a>) -> T) -> Self {
        let schema = describe_object(read);
        self.body_schema("application/json", schema, true).refuses(400, &["invalid_body"])
    }

    /// A body that must be empty.
    pub fn no_body(self) -> Self {
        self.refuses(400, &["invalid_body"])
    }

    /// A body in one more media type.
    pub fn body_schema(mut self, media_type: &'static str, schema: Value, is_required: bool) -> Self {
        let body = self.body.get_or_insert_with(|| json!({"required": is_required, "content": {}}));
        body["content"][media_type] = json!({"schema": schema});
        self
    }

    /// A JSON answer of this type.
    pub fn answers<T: ToSchema>(mut self, status: u16, description: &'static str) -> Self {
        let schema = self.refer::<T>();
        self.answers_schema(status, description, schema)
    }

    /// A JSON answer `{"data": T}`.
    pub fn answers_data<T: ToSchema>(mut self, status: u16, description: &'static str) -> Self {
        let schema = self.refer::<T>();
        self.answers_schema(status, description, data(schema))
    }

    /// A JSON answer `{"data": [T]}`.
    pub fn answers_list<T: ToSchema>(mut self, status: u16, description: &'static str) -> Self {
        let items = self.refer::<T>();
        self.answers_schema(status, description, data(json!({"type": "array", "items": items})))
    }

    /// A JSON answer `[T]`.
    pub fn answers_array<T: ToSchema>(mut self, status: u16, description: &'static str) -> Self {
        let items = self.refer::<T>();
        self.answers_schema(status, description, json!({"type": "array", "items": items}))
    }

    /// A JSON answer of any other shape.
    pub fn answers_schema(self, status: u16, description: &'static str, schema: Value) -> Self {
        self.answers_with(status, description, "application/json", schema)
    }

    /// An answer in a media type.
    pub fn answers_with(
        mut self,
        status: u16,
        description: &'static str,
        media_type: &str,
        schema: Value,
    ) -> Self {
        let answer = self.answer(status, description);
        answer.content.insert(media_type.to_owned(), json!({"schema": schema}));
        self
    }

    /// An answer without a body.
    pub fn answers_nothing(mut self, status: u16, description: &'static str) -> Self {
        self.answer(status, description);
        self
    }

    /// A header of the answer, named by its component.
    pub fn answer_header(mut self, status: u16, header: &'static str, component: &'static str) -> Self {
        self.answer(status, "").headers.push((header, component));
        self
    }

    /// Codes that the route answers with, beside those that its other steps declare.
    pub fn refuses(mut self, status: u16, codes: &[&'static str]) -> Self {
        let declared = self.refusals.entry(status).or_default();
        for code in codes {
            if !declared.contains(code) {
                declared.push(code);
            }
        }
        self
    }

    /// A named schema that a hand-written one refers to.
    pub fn schema<T: ToSchema>(mut self) -> Self {
        self.refer::<T>();
        self
    }

    /// Refuses with pages for people too.
    pub fn refuses_with_pages(self) -> Self {
        Operation { pages_for: &["text/html"], ..self }
    }

    /// Answers with what a provider answers, whatever it is.
    pub fn forwards(self) -> Self {
        Operation { is_forwarded: true, ..self }
    }

    fn answer(&mut self, status: u16, description: &'static str) -> &mut Answer {
        self.answers.entry(status).or_insert_with(|| Answer {
            description,
            content: Map::new(),
            headers: Vec::new(),
        })
    }

    fn refer<T: ToSchema>(&mut self) -> Value {
        let schemas = &mut self.schemas;
        add_schemas::<T>(&mut |name, schema| schemas.push((name, schema)));
        json!({"$ref": format!("#/components/schemas/{}", T::name())})
    }
}

fn data(schema: Value) -> Value {
    json!({"type": "object", "properties": {"data": schema}, "required": ["data"]})
}

fn query_parameter(name: &str, mut schema: Value, is_required: bool) -> Value {
    if schema["type"] == json!(["integer", "string"]) {
        // In a query everything is text, and the schema is about what it means.
        schema["type"] = json!("integer");
        schema.as_object_mut().map(|schema| schema.shift_remove("pattern"));
    }
    let mut parameter = json!({"name": name, "in": "query", "required": is_required});
    if schema["type"] == "integer" && schema["minimum"] == 0 {
        // Wire: the empty text is 0.
        parameter["allowEmptyValue"] = json!(true);
    }
    if schema["type"] == "object" {
        parameter["style"] = json!("deepObject");
        parameter["explode"] = json!(true);
    }
    parameter["schema"] = schema;
    parameter
}

/// Hands a type's schema and those it refers to over, under their names.
pub fn add_schemas<T: ToSchema>(add: &mut impl FnMut(String, Value)) {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    for (name, schema) in schemas {
        add(name, serde_json::to_value(schema).unwrap_or_default());
    }
}
