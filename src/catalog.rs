//! The provider catalog: what Hitchpost knows about each third-party API, as data.
//!
//! `load` turns the embedded files and the operator's sources into a [`Catalog`] that never changes; a reload
//! makes a new one and swaps it into the [`CatalogHandle`], which lays the entries that administrators defined over it.
//! Called by every module that needs a provider.
//! A bad entry is reported and skipped, never fatal. Only `source` touches the file system.

mod alias;
mod embedded;
mod fields;
mod hook;
mod integration;
mod known_hooks;
mod lint;
mod load;
mod parameters;
mod provider;
mod proxy;
mod retry;
mod source;
mod token_step;
mod translation;
mod webhook;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use indexmap::IndexMap;
use serde_json::{Map, Value};

pub use self::embedded::embedded_files;
pub use self::fields::{FieldFormat, FieldProblem, FieldSchema, Fields, VisibleWhen, validate_fields};
pub use self::hook::{
    CallMethod, HookCondition, HookHash, HookKind, HookPick, HookRequest, HookSelect, HookSource, HookStep,
    HookUrl, HookValue, ValidWhen, value_at,
};
pub use self::integration::apply_integration_config;
pub use self::lint::{Finding, Report, Severity, lint, lint_over};
pub use self::load::{Loaded, Problem, entry_name, load, load_over};
pub use self::parameters::{Parameter, Parameters};
pub use self::provider::{
    AuthorizationMethod, BodyFormat, ClientRegistration, ExpiryUnit, Provider, ProviderMode, SkipEncode,
    TokenAuthMethod, TokenUrl,
};
pub use self::proxy::{ProxySection, Verification};
pub use self::retry::{InBody, Retry, StatusMatch, WaitStrategy};
pub use self::source::{Fingerprint, Source, fingerprint};
pub use self::token_step::{
    Assertion, AssertionKind, ExpirationStrategy, HmacSecretEncoding, Signature, SignatureProtocol,
    SignedToken, TokenRequestMethod, TokenResponse, TokenStep,
};
pub use self::translation::Language;
pub use self::webhook::{
    Algorithm, Check, Completion, ConnectionField, Encoding, Jwt, KeyDocument, KeyEncoding, Matching,
    MissingValue, Payload, Reply, Signed, Step, TimeUnit, Timestamp, ValueForm, Webhook,
};

/// All providers, by name, in the order of their sources.
#[derive(Debug, Default, Clone)]
pub struct Catalog {
    providers: IndexMap<String, Arc<Provider>>,
    /// By language: entry name to what is merged over the definition.
    translations: HashMap<Language, Map<String, Value>>,
}

impl Catalog {
    /// The provider of that exact name.
    pub fn get(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.get(name)
    }

    /// Every provider, in catalog order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Provider>> {
        self.providers.values()
    }

    /// Puts providers in, in place of those of the same names.
    fn adopt(&mut self, providers: impl Iterator<Item = Arc<Provider>>) {
        self.providers.extend(providers.map(|provider| (provider.name.clone(), provider)));
    }

    /// Providers whose name contains `text`, ignoring case, in catalog order.
    pub fn search(&self, text: &str) -> impl Iterator<Item = &Arc<Provider>> {
        let wanted = text.to_ascii_lowercase();
        self.iter().filter(move |provider| provider.name.to_ascii_lowercase().contains(&wanted))
    }

    /// Where the provider of that name stands in the order of the catalog.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.providers.get_index_of(name)
    }

    /// The member of `GET /providers`: the definition as published, in `language` where it is translated, with `name`
    /// and `logo_url`. `base_url` is the public URL of this server.
    pub fn public_json(&self, provider: &Provider, base_url: &str, language: Language) -> Map<String, Value> {
        let mut json = provider.raw.clone();
        let overlay =
            self.translations.get(&language).and_then(|entries| entries.get(&provider.name)?.as_object());
        if let Some(overlay) = overlay {
            translation::merge(&mut json, overlay);
        }
        provider.add_public_names(&mut json, base_url);
        json
    }

    pub fn len(&self) -> usize {
        self.providers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }

    /// The whole resolved catalog, `name -> definition`, as `GET /providers.json` serves it.
    pub fn raw_json(&self) -> Map<String, Value> {
        self.iter().map(|provider| (provider.name.clone(), Value::Object(provider.raw.clone()))).collect()
    }
}

/// An entry that an administrator defined, as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The name of its only entry.
    pub name: String,
    pub text: String,
}

/// The current catalog, replaced as a whole and read without a lock.
#[derive(Debug, Default)]
pub struct CatalogHandle {
    current: ArcSwap<Catalog>,
    layers: Mutex<Layers>,
}

/// What the current catalog is made of; later layers win.
#[derive(Debug, Default)]
struct Layers {
    files: Arc<Catalog>,
    custom: Vec<Definition>,
    /// A provider that this process brings along.
    own: Option<Arc<Provider>>,
}

impl Layers {
    fn compose(&self) -> (Catalog, Vec<Problem>) {
        let mut catalog = self.files.as_ref().clone();
        let Loaded { catalog: custom, problems } = load_over(&self.files, &self.custom);
        catalog.adopt(custom.providers.into_values());
        catalog.adopt(self.own.iter().cloned());
        (catalog, problems)
    }
}

impl CatalogHandle {
    pub fn new(files: Catalog) -> Self {
        let handle = CatalogHandle::default();
        handle.replace(files);
        handle
    }

    /// The catalog of this moment. Hold it for one request, not longer.
    pub fn load(&self) -> Guard<Arc<Catalog>> {
        self.current.load()
    }

    /// The part of it that comes from files and addresses.
    pub fn files(&self) -> Arc<Catalog> {
        Arc::clone(&self.layers().files)
    }

    /// Whether these are the entries that administrators defined, as far as this process knows.
    pub fn has_custom(&self, definitions: &[Definition]) -> bool {
        self.layers().custom == definitions
    }

    /// Swaps in other files; requests that hold the old catalog finish with it. Returns what is wrong with entries that
    /// administrators defined.
    pub fn replace(&self, files: Catalog) -> Vec<Problem> {
        self.change(|layers| layers.files = Arc::new(files))
    }

    /// The same for the entries that administrators defined.
    pub fn replace_custom(&self, definitions: Vec<Definition>) -> Vec<Problem> {
        self.change(|layers| layers.custom = definitions)
    }

    /// The same for the provider that this process brings along.
    pub fn replace_own(&self, provider: Option<Arc<Provider>>) -> Vec<Problem> {
        self.change(|layers| layers.own = provider)
    }

    fn change(&self, change: impl FnOnce(&mut Layers)) -> Vec<Problem> {
        let mut layers = self.layers();
        change(&mut layers);
        let (catalog, problems) = layers.compose();
        self.current.store(Arc::new(catalog));
        problems
    }

    fn layers(&self) -> MutexGuard<'_, Layers> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(names: &[&str]) -> Catalog {
        let entry =
            |name: &&str| format!("{name}: {{display_name: X, docs: 'https://d', auth_mode: NONE}}\n");
        let text = names.iter().map(entry).collect();
        load(&[], &[Source::Text { name: "t.yaml".to_owned(), text }]).catalog
    }

    #[test]
    fn search_is_a_substring_of_the_name_in_catalog_order() {
        let catalog = catalog(&["zoho-crm", "google", "google-mail", "1password"]);
        let cases: [(&str, &[&str]); 4] = [
            ("GOOGLE", &["google", "google-mail"]),
            ("o", &["zoho-crm", "google", "google-mail", "1password"]),
            (".", &[]),
            ("", &["zoho-crm", "google", "google-mail", "1password"]),
        ];
        for (text, expected) in cases {
            let found: Vec<_> = catalog.search(text).map(|provider| provider.name.as_str()).collect();
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(
            catalog.raw_json().keys().collect::<Vec<_>>(),
            ["zoho-crm", "google", "google-mail", "1password"]
        );
    }

    #[test]
    fn a_replaced_catalog_stays_with_those_who_hold_it() {
        let handle = CatalogHandle::new(catalog(&["old"]));
        let held = handle.load();
        handle.replace(catalog(&["new"]));
        assert!(
            held.get("old").is_some()
                && handle.load().get("old").is_none()
                && handle.load().get("new").is_some()
        );
    }

    #[test]
    fn what_administrators_define_lies_over_the_files_and_survives_them() {
        let definition =
            |name: &str, text: &str| Definition { name: name.to_owned(), text: format!("{name}: {text}") };
        let handle = CatalogHandle::new(catalog(&["acme", "other"]));
        let mine = vec![
            definition("mine", "{alias: acme, display_name: Mine}"),
            definition("acme", "{display_name: Ours, docs: 'https://d', auth_mode: BASIC}"),
            definition("lost", "{alias: nowhere}"),
        ];
        let problems = handle.replace_custom(mine.clone());
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(handle.has_custom(&mine) && !handle.has_custom(&mine[..1]));
        let title = |name: &str| handle.load().get(name).map(|provider| provider.display_name.clone());
        assert_eq!(title("acme").as_deref(), Some("Ours"));
        assert_eq!(title("mine").as_deref(), Some("Mine"));
        assert_eq!(title("lost"), None);
        handle.replace(catalog(&["acme"]));
        assert_eq!((title("acme").as_deref(), title("other")), (Some("Ours"), None));
        handle.replace_custom(Vec::new());
        assert_eq!((title("acme").as_deref(), title("mine")), (Some("X"), None));
    }

    #[test]
    fn a_definition_has_one_entry() {
        assert_eq!(entry_name("acme: {}").as_deref(), Ok("acme"));
        assert_eq!(entry_name("{\"acme\": {}}").as_deref(), Ok("acme"));
        for (text, expected) in
            [("", "no provider"), ("a: {}\nb: {}", "2 providers"), ("a: {}\na: {}", "duplicate"), ("{{", "")]
        {
            let message = entry_name(text).unwrap_err();
            assert!(message.to_lowercase().contains(expected), "{text}: {message}");
        }
    }
}
