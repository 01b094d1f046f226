//! Texts to a catalog: parse, overlay, resolve aliases, compile, check.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::alias::{RawEntries, RawEntry, resolve};
use super::source::{self, Source};
use super::{Catalog, Definition, Language, Provider, translation};

/// Something that was skipped while loading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File name or URL.
    pub source: String,
    /// None: the whole source could not be used.
    pub entry: Option<String>,
    pub message: String,
}

/// A catalog, and what could not be put into it.
#[derive(Debug)]
pub struct Loaded {
    pub catalog: Catalog,
    pub problems: Vec<Problem>,
}

impl Loaded {
    /// A source was lost as a whole; on a reload the caller does better to keep the catalog it has.
    pub fn has_unusable_source(&self) -> bool {
        self.problems.iter().any(|problem| problem.entry.is_none())
    }
}

/// Builds the catalog from the embedded files (name, text) and the overlays, in that order. Each source replaces
/// whole entries of those before it; aliases are resolved after that, so an overlay may alias an embedded entry.
pub fn load(embedded: &[(String, String)], overlays: &[Source]) -> Loaded {
    let mut entries = RawEntries::new();
    let mut problems = Vec::new();
    for (name, text) in embedded {
        overlay(&mut entries, name, text, &mut problems);
    }
    for read in overlays.iter().flat_map(source::read) {
        match read {
            Ok((name, text)) => overlay(&mut entries, &name, &text, &mut problems),
            Err((source, error)) => {
                problems.push(Problem { source, entry: None, message: error.to_string() })
            }
        }
    }
    let mut catalog = Catalog::default();
    for name in entries.keys() {
        compile(&entries, name, &mut catalog, &mut problems);
    }
    for (language, read) in overlays.iter().flat_map(source::read_translations) {
        add_translation(&mut catalog, language, read, &mut problems);
    }
    Loaded { catalog, problems }
}

/// Builds the catalog of definitions that lie over `base`: their aliases may name each other's entries, and those of the base.
/// The base's own aliases are resolved already, so replacing an entry changes no other one.
pub fn load_over(base: &Catalog, definitions: &[Definition]) -> Loaded {
    let mut entries = RawEntries::new();
    let mut problems = Vec::new();
    for definition in definitions {
        overlay(&mut entries, &definition.name, &definition.text, &mut problems);
    }
    let own: Vec<String> = entries.keys().cloned().collect();
    let targets = entries.values().filter_map(|entry| entry.definition.get("alias")?.as_str());
    let targets: Vec<String> =
        targets.filter(|target| !entries.contains_key(*target)).map(str::to_owned).collect();
    for provider in targets.iter().filter_map(|target| base.get(target)) {
        let definition = provider.raw.clone();
        entries.insert(provider.name.clone(), RawEntry { source: "the catalog".to_owned(), definition });
    }
    let mut catalog = Catalog::default();
    for name in own {
        compile(&entries, &name, &mut catalog, &mut problems);
    }
    Loaded { catalog, problems }
}

/// The name of the only entry of a definition.
///
/// # Errors
/// A sentence: it cannot be read, or has another number of entries.
pub fn entry_name(text: &str) -> Result<String, String> {
    let parsed = parse("definition", text, Duplicates::Refused)?;
    let mut names = parsed.into_iter().map(|(name, _)| name);
    match (names.next(), names.count()) {
        (Some(name), 0) => Ok(name),
        (Some(_), others) => {
            Err(format!("Describe one provider at a time; here are {} providers.", others + 1))
        }
        (None, _) => Err("Here is no provider: begin with its name and a colon.".to_owned()),
    }
}

fn compile(entries: &RawEntries, name: &str, catalog: &mut Catalog, problems: &mut Vec<Problem>) {
    match resolve(entries, name).and_then(|definition| Provider::compile(name, definition)) {
        Ok(provider) => {
            catalog.providers.insert(name.to_owned(), Arc::new(provider));
        }
        Err(message) => {
            let source = entries.get(name).map(|entry| entry.source.clone()).unwrap_or_default();
            problems.push(Problem { source, entry: Some(name.to_owned()), message });
        }
    }
}

/// A translation that cannot be read costs nothing but itself.
fn add_translation(
    catalog: &mut Catalog,
    language: Language,
    read: source::Read,
    problems: &mut Vec<Problem>,
) {
    let parsed = match read {
        Ok((name, text)) => parse(&name, &text, Duplicates::LastWins).map_err(|message| (name, message)),
        Err((name, error)) => Err((name, error.to_string())),
    };
    match parsed {
        Ok(entries) => translation::merge(catalog.translations.entry(language).or_default(), &entries),
        Err((source, message)) => problems.push(Problem { source, entry: Some("-".to_owned()), message }),
    }
}

fn overlay(entries: &mut RawEntries, source: &str, text: &str, problems: &mut Vec<Problem>) {
    let parsed = match parse(source, text, Duplicates::Refused) {
        Ok(parsed) => parsed,
        Err(message) => {
            problems.push(Problem { source: source.to_owned(), entry: None, message });
            return;
        }
    };
    for (name, value) in parsed {
        let Value::Object(definition) = value else {
            let message = "an entry must be a mapping".to_owned();
            problems.push(Problem { source: source.to_owned(), entry: Some(name), message });
            continue;
        };
        entries.insert(name, RawEntry { source: source.to_owned(), definition });
    }
}

/// What happens to a key that a YAML mapping has twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Duplicates {
    Refused,
    LastWins,
}

/// One mapping, `entry name -> entry`, in JSON or YAML 1.2.
pub(super) fn parse(source: &str, text: &str, duplicates: Duplicates) -> Result<Map<String, Value>, String> {
    if source.ends_with(".json") || text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let mut options = yaml_options();
    if duplicates == Duplicates::LastWins {
        options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::LastWins;
    }
    let parsed: Option<Map<String, Value>> = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| error.without_snippet().to_string())?;
    Ok(parsed.unwrap_or_default())
}

/// The published file has 28,000 lines; the limits leave room for ten times that. No anchors are in use, so
/// alias bombs need no allowance.
pub(super) fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 5_000_000,
            max_nodes: 2_500_000,
            max_total_scalar_bytes: 64 * 1024 * 1024,
            max_depth: 64,
            max_documents: 1,
        },
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use indexmap::IndexMap;
    use serde_json::json;

    use super::super::embedded_files;
    use super::*;
    use crate::auth::AuthMode;
    use crate::catalog::ProviderMode;
    use crate::template::Template;

    const HEAD: &str = "display_name: X\n  docs: https://docs.example.org\n  auth_mode: NONE";

    fn text(name: &str, text: &str) -> Source {
        Source::Text { name: name.to_owned(), text: text.to_owned() }
    }

    fn messages(loaded: &Loaded) -> Vec<(&str, &str)> {
        loaded.problems.iter().map(|p| (p.entry.as_deref().unwrap_or("*"), p.message.as_str())).collect()
    }

    #[test]
    fn later_sources_replace_whole_entries_and_aliases_see_the_result() {
        let first = format!(
            "a:\n  {HEAD}\n  scope_separator: ','\n  extra: kept\nb:\n  alias: a\n  docs_connect: https://b\n"
        );
        let second = format!("a:\n  {HEAD}\n  default_scopes: [one]\nc:\n  alias: b\n  auth_mode: BASIC\n");
        let loaded = load(&[("first.yaml".to_owned(), first)], &[text("second.yaml", &second)]);
        assert_eq!(loaded.problems, []);
        let names: Vec<_> = loaded.catalog.iter().map(|provider| provider.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let Some(c) = loaded.catalog.get("c") else { panic!("c is missing") };
        assert_eq!((c.mode(), c.scope_separator.as_str()), (Some(AuthMode::Basic), " "));
        assert_eq!(
            (c.default_scopes.as_slice(), c.docs_connect.as_deref()),
            (&["one".to_owned()][..], Some("https://b"))
        );
        assert!(!c.raw.contains_key("alias") && !c.raw.contains_key("extra"));
        let keys: Vec<_> = c.raw.keys().map(String::as_str).collect();
        assert_eq!(keys, ["display_name", "docs", "auth_mode", "default_scopes", "docs_connect"]);
    }

    #[test]
    fn bad_entries_are_reported_and_the_rest_loads() {
        let cases = [
            ("alias: nowhere", "alias of `nowhere`, which does not exist"),
            ("alias: bad", "aliases go in a circle: bad -> bad"),
            ("alias: [bad]", "`alias` must be the name of another entry"),
            ("display_name: X", "missing field"),
            (&format!("{HEAD}\n  token_url: https://${{x"), "`${` is not closed"),
            (&format!("{HEAD}\n  token_params:\n    deep: ['${{}}']"), "template syntax error"),
            (&format!("{HEAD}\n  default_scopes: 7"), "invalid type"),
            (&format!("{HEAD}\n  proxy:\n    headers: {{}}"), "missing field `base_url`"),
            (
                &format!("{HEAD}\n  proxy:\n    base_url: x\n    retry: {{error_code: [6xx]}}"),
                "`6xx` is no status",
            ),
        ];
        for (entry, expected) in cases {
            let yaml = format!("bad:\n  {entry}\ngood:\n  {HEAD}\n");
            let loaded = load(&[], &[text("t.yaml", &yaml)]);
            let found = messages(&loaded);
            assert!(
                matches!(found.as_slice(), [("bad", message)] if message.contains(expected)),
                "{entry}: {found:?}"
            );
            assert_eq!(loaded.catalog.len(), 1, "{entry}");
            assert!(!loaded.has_unusable_source());
        }
        let loaded = load(&[], &[text("t.json", "{\"bad\": 7, \"Bad name\": {}}")]);
        assert_eq!(messages(&loaded).len(), 2);
    }

    #[test]
    fn an_unreadable_source_leaves_the_others() {
        let good = format!("good:\n  {HEAD}\n");
        let missing = Source::Path("no/such/file.yaml".into());
        for bad in
            [missing, text("u", "a: [b"), text("u", "- a"), text("u", "a: 1\na: 2"), text("u", "{\"a\": }")]
        {
            let loaded = load(&[("good.yaml".to_owned(), good.clone())], &[bad]);
            assert_eq!((loaded.catalog.len(), loaded.problems.len()), (1, 1));
            assert!(loaded.has_unusable_source());
        }
        assert!(load(&[], &[text("empty.yaml", "# nothing\n")]).problems.is_empty());
    }

    #[test]
    fn scalars_have_their_yaml_1_2_types() {
        let yaml = format!(
            "a:\n  {HEAD}\n  x: {{i: 5, f: 1.5, t: true, no: no, on: on, z: 007, u: 1_000, d: 2026-01-02, n: ~, q: '5', h: 0x10}}\n"
        );
        let loaded = load(&[], &[text("t.yaml", &yaml)]);
        let raw = loaded.catalog.get("a").map(|provider| provider.raw["x"].clone());
        let expected = json!({"i": 5, "f": 1.5, "t": true, "no": "no", "on": "on", "z": "007", "u": "1_000",
            "d": "2026-01-02", "n": null, "q": "5", "h": 16});
        assert_eq!(raw, Some(expected));
    }

    #[test]
    fn an_unknown_mode_is_listed_and_unusable() {
        let yaml = format!("a:\n  {HEAD}\n").replace("NONE", "TELEPATHY");
        let loaded = load(&[], &[text("t.yaml", &yaml)]);
        let mode = loaded.catalog.get("a").map(|provider| (provider.auth_mode.clone(), provider.mode()));
        assert_eq!(mode, Some((ProviderMode::Unknown("TELEPATHY".to_owned()), None)));
    }

    #[test]
    fn the_embedded_catalog_has_no_problems() {
        let loaded = load(&embedded_files(), &[]);
        assert_eq!(loaded.problems, []);
        assert!(loaded.catalog.get("unauthenticated").is_some());
    }

    /// The published catalog, as the npm package that the SDK tests install brings it.
    #[test]
    fn the_published_catalog_loads_without_a_problem() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/sdk/node_modules/@nangohq/providers/providers.yaml");
        if !file.exists() {
            eprintln!("SKIPPED: the published catalog is not installed (run npm install in tests/sdk)");
            return;
        }
        let loaded = load(&[], &[Source::Path(file)]);
        assert_eq!(loaded.problems, []);
        assert!(loaded.catalog.len() >= 1013, "{}", loaded.catalog.len());
        let mut counts: IndexMap<&str, usize> = IndexMap::new();
        for provider in loaded.catalog.iter() {
            let Some(mode) = provider.mode() else { panic!("{} has an unknown mode", provider.name) };
            *counts.entry(mode.as_str()).or_default() += 1;
            provider.raw.iter().for_each(|(key, value)| assert_templates_compile(key, value));
            let script = provider.webhook_routing_script.as_deref().unwrap_or_default();
            // How these two sign is not documented in public.
            let is_unknown = ["", "gongWebhookRouting", "granolaWebhookRouting"].contains(&script);
            assert_eq!(provider.webhook.is_none(), is_unknown, "{}: {script}", provider.name);
        }
        // Version 0.71.10; later versions only add entries.
        let golden = [
            ("OAUTH2", 354),
            ("API_KEY", 332),
            ("OAUTH2_CC", 112),
            ("BASIC", 99),
            ("TWO_STEP", 66),
            ("MCP_OAUTH2", 30),
            ("JWT", 4),
            ("OAUTH1", 4),
            ("BILL", 2),
            ("MCP_OAUTH2_GENERIC", 2),
            ("NONE", 2),
            ("AWS_SIGV4", 1),
            ("INSTALL_PLUGIN", 1),
            ("SIGNATURE", 1),
            ("APP", 1),
            ("CUSTOM", 1),
            ("TBA", 1),
        ];
        for (mode, at_least) in golden {
            assert!(counts.get(mode).is_some_and(|count| *count >= at_least), "{mode}: {counts:?}");
        }
    }

    /// Also the templates in keys that only `raw` holds.
    fn assert_templates_compile(key: &str, value: &Value) {
        match value {
            Value::String(text) => {
                let parsed = Template::parse_without_fallback(text);
                assert!(parsed.is_ok(), "{key}: {text}: {parsed:?}");
            }
            Value::Array(items) => items.iter().for_each(|item| assert_templates_compile(key, item)),
            Value::Object(members) => {
                members.values().for_each(|member| assert_templates_compile(key, member))
            }
            _ => {}
        }
    }

    #[test]
    fn a_folder_gives_its_catalog_files_in_order() {
        let Ok(folder) = tempfile::tempdir() else { panic!("no temporary folder") };
        let entry = |separator: &str| format!("a:\n  {HEAD}\n  scope_separator: '{separator}'\n");
        let files = [
            ("b.yaml", entry("2")),
            ("a.yml", entry("1")),
            ("x.scopes.yaml", "a: [s]".to_owned()),
            ("package.json", "{\"name\": \"x\"}".to_owned()),
            ("readme.md", "- x".to_owned()),
        ];
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).is_ok();
        assert!(files.iter().all(|(name, text)| write(name, text)));
        let sources = [Source::Path(folder.path().to_owned())];
        let loaded = load(&[], &sources);
        assert_eq!(loaded.problems, []);
        assert_eq!(
            loaded.catalog.get("a").map(|provider| provider.scope_separator.clone()),
            Some("2".to_owned())
        );
        let before = super::super::fingerprint(&sources);
        assert_eq!(before, super::super::fingerprint(&sources));
        assert!(write("b.yaml", "") && before != super::super::fingerprint(&sources));
    }
}
