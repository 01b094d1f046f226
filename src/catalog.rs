//! The provider catalog: what Hitchpost knows about each third-party API, as data.
//!
//! `load` turns the embedded files and the operator's sources into a [`Catalog`] that never changes; a reload
//! makes a new one and swaps it into the [`CatalogHandle`]. Called by every module that needs a provider.
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
use std::sync::Arc;

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
pub use self::lint::{Finding, Report, Severity, lint};
pub use self::load::{Loaded, Problem, load};
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

    /// The same catalog with a provider under this name, or without one.
    pub fn with_extra(mut self, name: &str, provider: Option<Arc<Provider>>) -> Self {
        match provider {
            Some(provider) => self.providers.insert(name.to_owned(), provider),
            None => self.providers.shift_remove(name),
        };
        self
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

/// The current catalog, replaced as a whole.
#[derive(Debug, Default)]
pub struct CatalogHandle {
    current: ArcSwap<Catalog>,
}

impl CatalogHandle {
    pub fn new(catalog: Catalog) -> Self {
        CatalogHandle { current: ArcSwap::from_pointee(catalog) }
    }

    /// The catalog of this moment. Hold it for one request, not longer.
    pub fn load(&self) -> Guard<Arc<Catalog>> {
        self.current.load()
    }

    /// Swaps in another catalog; requests that hold the old one finish with it.
    pub fn replace(&self, catalog: Catalog) {
        self.current.store(Arc::new(catalog));
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
}
