//! One route as the document tells it. Handlers' modules build these; the calls mirror the handler's own steps, so that what
//! each step can refuse is declared by saying that the step is there.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::codes::meaning;
use super::components::ERROR;
use crate::api::input::shape::{describe_object, text};
use crate::api::input::{ObjectReader, ROW_ID, TextRule};
use crate::api::scope::Scope;

const AUTHENTICATION: [&str; 3] = ["missing_auth_header", "malformed_auth_header", "unknown_account"];
const SESSION: [&str; 2] = ["invalid_connect_session_token_format", "unknown_connect_session_token"];

/// The groups of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    Providers,
    Integrations,
    Connections,
    ConnectSessions,
    Environments,
    Proxy,
    Authorization,
    Functions,
    Server,
}

impl Tag {
    pub const ALL: [Tag; 9] = [
        Tag::Providers,
        Tag::Integrations,
        Tag::Connections,
        Tag::ConnectSessions,
        Tag::Environments,
        Tag::Proxy,
        Tag::Authorization,
        Tag::Functions,
        Tag::Server,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Tag::Providers => "Providers",
            Tag::Integrations => "Integrations",
            Tag::Connections => "Connections",
            Tag::ConnectSessions => "Connect sessions",
            Tag::Environments => "Environments",
            Tag::Proxy => "Proxy",
            Tag::Authorization => "Authorization",
            Tag::Functions => "Functions",
            Tag::Server => "Server",
        }
    }

    pub fn description(self) -> &'static str {
        match self {
            Tag::Providers => "The catalog of APIs.",
            Tag::Integrations => "A provider with your own client credentials.",
            Tag::Connections => "Credentials of one end user for one integration.",
            Tag::ConnectSessions => "Let one end user make connections for half an hour.",
            Tag::Environments => "Environments, their API keys, variables and signing keys.",
            Tag::Proxy => "Calls to providers with the credentials of a connection.",
            Tag::Authorization => "What browsers call to make a connection.",
            Tag::Functions => "Integration code. This version runs none and answers 501.",
            Tag::Server => "The server itself.",
        }
    }
}

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

struct Answer {
    description: &'static str,
    /// Schemas by media type; none for an empty body.
    content: Map<String, Value>,
    /// Names of header components, by header.
    headers: Vec<(&'static str, &'static str)>,
}

/// One method of one path.
pub struct Operation {
    pub method: &'static str,
    /// As the route list writes it.
    pub path: &'static str,
    pub id: &'static str,
    summary: &'static str,
    description: Option<&'static str>,
    tag: Tag,
    caller: Caller,
    is_deprecated: bool,
    is_forwarded: bool,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, Answer>,
    /// The codes of each error status.
    pub refusals: BTreeMap<u16, Vec<&'static str>>,
    /// Media types of error answers beside JSON.
    pages_for: &'static [&'static str],
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

    /// The path in the document's syntax.
    pub fn document_path(&self) -> String {
        self.path.replace("{*", "{")
    }

    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "operationId": self.id,
            "summary": self.summary,
            "tags": [self.tag.name()],
            "security": self.security(),
        });
        if let Some(description) = self.description {
            json["description"] = json!(description);
        }
        if self.is_deprecated {
            json["deprecated"] = json!(true);
        }
        if !self.parameters.is_empty() {
            json["parameters"] = json!(self.parameters);
        }
        if let Some(body) = &self.body {
            json["requestBody"] = body.clone();
        }
        json["responses"] = Value::Object(self.responses());
        json
    }

    fn security(&self) -> Value {
        let keys = |scopes: &[&str]| -> Vec<Value> {
            if scopes.is_empty() {
                return vec![json!({"secretKey": []})];
            }
            scopes.iter().map(|scope| json!({"secretKey": [scope]})).collect()
        };
        match self.caller {
            // A token in the body is no scheme that OpenAPI knows.
            Caller::Nobody | Caller::Address | Caller::BodySession => json!([]),
            Caller::Key(scopes) => json!(keys(scopes)),
            Caller::Session => json!([{"connectSession": []}]),
            Caller::KeyOrSession(scopes) => {
                let mut any = keys(scopes);
                any.push(json!({"connectSession": []}));
                json!(any)
            }
            Caller::Browser => json!([{"connectSessionInQuery": []}, {"publicKey": []}]),
        }
    }

    fn responses(&self) -> Map<String, Value> {
        let mut responses: BTreeMap<String, Value> = BTreeMap::new();
        for (status, answer) in &self.answers {
            responses.insert(status.to_string(), self.success(answer));
        }
        // GET answers in JSON have an ETag.
        let is_tagged = self.method == "get"
            && self.answers.get(&200).is_some_and(|answer| answer.content.contains_key("application/json"));
        if is_tagged {
            let description = "If-None-Match names the answer that there is.";
            responses.insert("304".to_owned(), json!({"description": description}));
        }
        for (status, codes) in &self.refusals {
            let also = responses.remove(&status.to_string());
            responses.insert(status.to_string(), self.refusal(*status, codes, also));
        }
        if self.is_forwarded {
            let description = "The provider's answer, whatever it is.";
            responses
                .insert("default".to_owned(), json!({"description": description, "content": {"*/*": {}}}));
        }
        responses.into_iter().collect()
    }

    fn success(&self, answer: &Answer) -> Value {
        let mut headers = json!({"X-Request-Id": header("RequestId")});
        for (name, component) in &answer.headers {
            headers[name] = header(component);
        }
        let mut json = json!({"description": answer.description, "headers": headers});
        if !answer.content.is_empty() {
            json["content"] = Value::Object(answer.content.clone());
        }
        json
    }

    /// An error answer; `also` is what else the route answers under this status.
    fn refusal(&self, status: u16, codes: &[&'static str], also: Option<Value>) -> Value {
        let meanings: Vec<String> = codes
            .iter()
            .map(|code| format!("* `{code}`: {}", meaning(code).unwrap_or("no meaning is written down")))
            .collect();
        let code = json!({"properties": {"error": {"properties": {"code": {"enum": codes}}}}});
        let mut schema = json!({"allOf": [{"$ref": ERROR}, code]});
        let mut content = Map::new();
        if self.is_forwarded {
            // A provider may answer the same status; then there is no X-Hitchpost-Error.
            schema = json!({"anyOf": [schema, {}]});
            content.insert("*/*".to_owned(), json!({}));
        }
        content.insert("application/json".to_owned(), json!({"schema": schema}));
        for media_type in self.pages_for {
            content.insert((*media_type).to_owned(), json!({"schema": {"type": "string"}}));
        }
        let has_own_answers = also.is_some() || self.is_forwarded || !self.pages_for.is_empty();
        if let Some(Value::Object(others)) = also.as_ref().map(|also| also["content"].clone()) {
            content.extend(others);
        }
        let mut headers = Map::new();
        if !has_own_answers {
            headers.insert("X-Hitchpost-Error".to_owned(), header("ErrorCode"));
            headers.insert("X-Request-Id".to_owned(), header("RequestId"));
        }
        if status == 429 && !self.is_forwarded {
            headers.insert("Retry-After".to_owned(), header("RetryAfter"));
        }
        json!({"description": meanings.join("\n"), "headers": headers, "content": content})
    }
}

fn header(component: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{component}")})
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
