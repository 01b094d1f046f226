//! Operations as the JSON of the document.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::codes::meaning;
use super::components::ERROR;
use super::operation::{Answer, Caller, Operation};

impl Operation {
    /// The path in the document's syntax.
    pub fn document_path(&self) -> String {
        self.path.replace("{*", "{")
    }

    /// The operation object.
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
