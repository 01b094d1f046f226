//! A browser without scripts: it keeps cookies, reads pages and submits their forms.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;

use super::TestApp;
use super::client::{Ask, Client, Reply};

/// Somebody in front of the dashboard.
pub struct Browser {
    client: Client,
    cookies: Mutex<BTreeMap<String, String>>,
    authorization: Option<String>,
}

impl Browser {
    pub fn new(app: &TestApp) -> Self {
        let client = app.anonymous().of_other_routes();
        Browser { client, cookies: Mutex::default(), authorization: None }
    }

    /// The same browser, whose visitor typed a name and a password into its box.
    pub fn with_password(self, name: &str, password: &str) -> Self {
        let encoded = STANDARD.encode(format!("{name}:{password}"));
        Browser { authorization: Some(format!("Basic {encoded}")), ..self }
    }

    /// A request with what the browser sends by itself.
    pub fn ask(&self, method: &str, path: &str) -> Ask {
        let mut ask = self.client.ask(method, path);
        let cookies: Vec<String> =
            self.cookies.lock().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            ask = ask.header("cookie", &cookies.join("; "));
        }
        match &self.authorization {
            Some(value) => ask.header("authorization", value),
            None => ask,
        }
    }

    /// Loads a page.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.ask("GET", path)).await
    }

    /// Loads a page and goes where it sends the browser.
    pub async fn visit(&self, path: &str) -> Reply {
        self.follow(self.get(path).await).await
    }

    /// Goes where an answer sends the browser, until a page is shown.
    pub async fn follow(&self, mut reply: Reply) -> Reply {
        for _ in 0..5 {
            let Some(to) = reply.header("location").map(str::to_owned) else { return reply };
            reply = self.get(&to).await;
        }
        panic!("the browser is sent around in circles");
    }

    /// Loads the page `at` and submits a form of it to `action`; what the page hides in its forms is sent too.
    pub async fn submit(&self, at: &str, action: &str, fields: &[(&str, &str)]) -> Reply {
        let page = self.get(at).await;
        assert!(
            page.text().contains(&format!("action=\"{action}\"")),
            "{at} has no form to {action}: {}",
            page.text()
        );
        let token = hidden(&page, "csrf");
        let token = token.as_deref().map(|token| ("csrf", token));
        self.post(action, token.into_iter().chain(fields.iter().copied()).collect()).await
    }

    /// Sends a form, as any page may.
    pub async fn post(&self, action: &str, fields: Vec<(&str, &str)>) -> Reply {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let ask = self.ask("POST", action).header("content-type", "application/x-www-form-urlencoded");
        self.send(ask.bytes(body)).await
    }

    /// Sends a request and keeps the cookies of its answer.
    pub async fn send(&self, ask: Ask) -> Reply {
        let reply = ask.send().await;
        let mut cookies = self.cookies.lock().unwrap();
        for line in reply.headers.get_all("set-cookie") {
            let line = line.to_str().expect("a readable cookie");
            let (name, value) =
                line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            if line.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        drop(cookies);
        reply
    }

    /// The value of a cookie that the browser has.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().unwrap().get(name).cloned()
    }
}

/// What a page hides in a field of this name.
pub fn hidden(page: &Reply, name: &str) -> Option<String> {
    let html = page.text();
    let marker = format!("name=\"{name}\" value=\"");
    let rest = &html[html.find(&marker)? + marker.len()..];
    rest.split('"').next().map(str::to_owned)
}
