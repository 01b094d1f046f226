//! Code that uses one connection, ready to be pasted. The API key is never in it.

use std::borrow::Cow;

use serde_json::Value;

/// A program in one language.
pub struct Snippet {
    pub language: &'static str,
    pub code: String,
}

/// A proxied call, as code.
pub struct ProxiedCall<'a> {
    pub server_url: &'a str,
    pub integration: &'a str,
    pub connection: &'a str,
    pub method: &'a str,
    /// With a slash at the beginning.
    pub path: &'a str,
    /// Text of the body; empty for none.
    pub body: &'a str,
    pub headers: &'a [(String, String)],
}

impl ProxiedCall<'_> {
    /// The call in every language.
    pub fn snippets(&self) -> Vec<Snippet> {
        vec![
            Snippet { language: "Node", code: self.node() },
            Snippet { language: "cURL", code: self.curl() },
            Snippet { language: "Python", code: self.python() },
            Snippet { language: "Go", code: self.go() },
        ]
    }

    fn node(&self) -> String {
        let mut options = vec![
            format!("    method: {},", quoted(self.method)),
            format!("    endpoint: {},", quoted(self.path)),
            format!("    providerConfigKey: {},", quoted(self.integration)),
            format!("    connectionId: {},", quoted(self.connection)),
        ];
        if !self.body.is_empty() {
            options.push(format!("    data: {},", literal(self.body)));
        }
        if !self.headers.is_empty() {
            let headers: Vec<String> = self
                .headers
                .iter()
                .map(|(name, value)| format!("{}: {}", quoted(name), quoted(value)))
                .collect();
            options.push(format!("    headers: {{ {} }},", headers.join(", ")));
        }
        format!(
            "import {{ Nango }} from '@nangohq/node';\n\n\
             const nango = new Nango({{ host: {}, secretKey: process.env.HITCHPOST_SECRET_KEY }});\n\n\
             const answer = await nango.proxy({{\n{}\n}});\n\
             console.log(answer.data);\n",
            quoted(self.server_url),
            options.join("\n"),
        )
    }

    fn curl(&self) -> String {
        let mut lines = vec![
            format!("curl --request {} {}", shell(self.method), shell(&self.url())),
            "  --header \"Authorization: Bearer $HITCHPOST_SECRET_KEY\"".to_owned(),
        ];
        let headers = self.all_headers().into_iter();
        lines.extend(
            headers.map(|(name, value)| format!("  --header {}", shell(&format!("{name}: {value}")))),
        );
        if !self.body.is_empty() {
            lines.push(format!("  --data {}", shell(self.body)));
        }
        lines.join(" \\\n") + "\n"
    }

    fn python(&self) -> String {
        let headers: Vec<String> = self
            .all_headers()
            .into_iter()
            .map(|(name, value)| format!("        {}: {},\n", quoted(&name), quoted(value)))
            .collect();
        let body = match self.body {
            "" => String::new(),
            body => format!("    data={}.encode(),\n", quoted(body)),
        };
        format!(
            "import os\nimport requests\n\nanswer = requests.request(\n    {},\n    {},\n    headers={{\n        \
             \"Authorization\": f\"Bearer {{os.environ['HITCHPOST_SECRET_KEY']}}\",\n{}    }},\n{body})\n\
             answer.raise_for_status()\nprint(answer.text)\n",
            quoted(self.method),
            quoted(&self.url()),
            headers.concat(),
        )
    }

    fn go(&self) -> String {
        let headers: Vec<String> = self
            .all_headers()
            .into_iter()
            .map(|(name, value)| format!("\trequest.Header.Set({}, {})\n", quoted(&name), quoted(value)))
            .collect();
        let (import, body) = match self.body {
            "" => ("", "nil".to_owned()),
            body => ("\t\"strings\"\n", format!("strings.NewReader({})", quoted(body))),
        };
        format!(
            "package main\n\nimport (\n\t\"fmt\"\n\t\"io\"\n\t\"log\"\n\t\"net/http\"\n\t\"os\"\n{import})\n\n\
             func main() {{\n\trequest, err := http.NewRequest({}, {}, {body})\n\tif err != nil {{\n\t\tlog.Fatal(err)\n\t}}\n\
             \trequest.Header.Set(\"Authorization\", \"Bearer \"+os.Getenv(\"HITCHPOST_SECRET_KEY\"))\n{}\
             \tanswer, err := http.DefaultClient.Do(request)\n\tif err != nil {{\n\t\tlog.Fatal(err)\n\t}}\n\
             \tdefer answer.Body.Close()\n\ttext, _ := io.ReadAll(answer.Body)\n\tfmt.Println(answer.Status, string(text))\n}}\n",
            quoted(self.method),
            quoted(&self.url()),
            headers.concat(),
        )
    }

    fn url(&self) -> String {
        format!("{}/proxy{}", self.server_url, self.path)
    }

    fn all_headers(&self) -> Vec<(Cow<'_, str>, &str)> {
        let own = [("Provider-Config-Key", self.integration), ("Connection-Id", self.connection)];
        let own = own.into_iter().map(|(name, value)| (Cow::Borrowed(name), value));
        let more = self.headers.iter().map(|(name, value)| (forwarded(name), value.as_str()));
        own.chain(more).collect()
    }
}

/// The name under which a header is sent on to the provider; the SDK knows that itself.
// Wire: what describes the body goes under its own name.
pub fn forwarded(name: &str) -> Cow<'_, str> {
    if name.eq_ignore_ascii_case("content-type") {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("Nango-Proxy-{name}"))
}

/// A body as JavaScript writes it: JSON is JavaScript already.
fn literal(body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(value) => value.to_string(),
        Err(_) => quoted(body),
    }
}

/// A text as JavaScript, Python and Go write it: JSON's way is understood by all three.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A text as a shell takes it as it is.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_inside_their_quotes() {
        let call = ProxiedCall {
            server_url: "https://h.test",
            integration: "gh",
            connection: "a'b\"c\\${x}",
            method: "POST",
            path: "/v1/me",
            body: "it's",
            headers: &[("X-A".to_owned(), "1".to_owned())],
        };
        let [node, curl, python, go] = call.snippets().try_into().ok().unwrap();
        assert!(curl.code.contains(r#"'Connection-Id: a'\''b"c\${x}'"#), "{}", curl.code);
        assert!(curl.code.contains(r"--data 'it'\''s'") && curl.code.contains("'Nango-Proxy-X-A: 1'"));
        assert!(node.code.contains(r#"headers: { "X-A": "1" }"#), "{}", node.code);
        let literal = r#""a'b\"c\\${x}""#;
        for snippet in [node, python, go] {
            assert!(snippet.code.contains(literal), "{}: {}", snippet.language, snippet.code);
            assert!(snippet.code.contains("HITCHPOST_SECRET_KEY"), "{}", snippet.language);
        }
    }
}
