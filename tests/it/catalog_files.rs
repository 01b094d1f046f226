//! Catalog files as an operator brings them: the linter on the command line, the published file from its path and from
//! an address, and translations.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use axum::Router;
use axum::routing::get;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::support::app::TestSettings;
use crate::support::{TestApp, run, test_setting};

fn lint(arguments: &[&str]) -> Output {
    // Nothing of the caller's settings: the linter needs none.
    let path = test_setting("PATH").unwrap_or_default();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hitchpost"));
    command.args(["catalog", "lint"]).args(arguments).env_clear().env("PATH", path);
    command.output().expect("the linter runs")
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
fn the_linter_ends_with_0_on_warnings_and_with_1_on_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let warned = file("warned.yaml", "a:\n  alias: unauthenticated\n  odd: 1\n");
    let output = lint(&[&warned]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with(&format!("{warned}:3: warning[unknown-key] a odd: ")));
    assert!(text(&output.stdout).ends_with("1 entries, 0 error(s), 1 warning(s).\n"));

    let wrong = file("wrong.json", "{\"a\": {\n  \"alias\": \"nobody\"}}");
    let output = lint(&[&warned, &wrong, "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["entries"], &report["errors"]), (&json!(1), &json!(1)));
    let last = report["findings"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["rule"], &last["source"], &last["line"]), (&json!("alias"), &json!(wrong), &json!(2)));

    assert_eq!(lint(&["/nowhere/at/all.yaml"]).status.code(), Some(1));
    assert_eq!(lint(&["http://127.0.0.1:1/nobody-listens.yaml"]).status.code(), Some(1));
    assert_eq!(lint(&[]).status.code(), Some(2), "no path is a wrong command line");
}

#[test]
fn the_linter_reads_an_address() {
    run(async {
        let address = serve("a:\n  alias: unauthenticated\n").await;
        let output = tokio::task::spawn_blocking(move || lint(&[&address])).await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "1 entries, 0 error(s), 0 warning(s).\n");
    });
}

#[test]
fn our_own_catalog_has_no_errors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/catalog");
    let output = lint(&[&folder.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

/// The address of a server that has this text.
async fn serve(text: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let text = text.to_owned();
    let router = Router::new().route("/catalog.yaml", get(async move || text.clone()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/catalog.yaml")
}

/// The published catalog, as the npm package that the SDK tests install brings it.
fn published() -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sdk/node_modules/@nangohq/providers/providers.yaml");
    if !file.exists() {
        eprintln!("SKIPPED: the published catalog is not installed (run npm install in tests/sdk)");
    }
    file.exists().then_some(file)
}

/// What the file says, with aliases applied the way its grammar tells: top-level keys of the target, own ones win.
fn resolved(file: &Path) -> Map<String, Value> {
    let text = fs::read_to_string(file).unwrap();
    let entries: Map<String, Value> = serde_saphyr::from_str(&text).unwrap();
    fn resolve(entries: &Map<String, Value>, name: &str) -> Map<String, Value> {
        let own = entries[name].as_object().unwrap();
        let mut whole =
            own.get("alias").map(|target| resolve(entries, target.as_str().unwrap())).unwrap_or_default();
        whole.extend(own.clone());
        whole.shift_remove("alias");
        whole
    }
    entries.keys().map(|name| (name.clone(), Value::Object(resolve(&entries, name)))).collect()
}

/// Every entry of the file is listed, word for word, with its name and its picture.
async fn assert_complete(app: &TestApp, expected: &Map<String, Value>) {
    let answer = app.client().get("/providers").expect(200).await;
    let mut shown: Map<String, Value> = Map::new();
    for provider in answer["data"].as_array().unwrap() {
        let mut definition = provider.as_object().unwrap().clone();
        let name = definition.shift_remove("name").unwrap().as_str().unwrap().to_owned();
        let logo = format!("{}/images/template-logos/{name}.svg", app.url());
        assert_eq!(definition.shift_remove("logo_url"), Some(json!(logo)));
        shown.insert(name, Value::Object(definition));
    }
    let raw = app.anonymous().get("/providers.json").expect(200).await;
    assert!(expected.len() >= 1013, "{}", expected.len());
    for (name, definition) in expected {
        assert!(shown.get(name) == Some(definition), "{name} is not shown as published");
        assert!(raw.get(name) == Some(definition), "{name} is not in /providers.json as published");
    }
    let aliases = expected.values().filter(|definition| definition.get("alias").is_some());
    assert_eq!(aliases.count(), 0);
    assert!(app.app.catalog.load().len() >= expected.len());
}

#[test]
fn the_published_catalog_is_complete_from_its_path_and_from_an_address() {
    let Some(file) = published() else { return };
    run(async {
        let expected = resolved(&file);
        let by_path =
            TestSettings::default().set("HITCHPOST_CATALOG", file.display().to_string()).start().await;
        assert_complete(&by_path, &expected).await;
        let address = serve(&fs::read_to_string(&file).unwrap()).await;
        let by_address = TestSettings::default().set("HITCHPOST_CATALOG", address).start().await;
        assert_complete(&by_address, &expected).await;
        let count = |name: &str| {
            let raw = expected.get(name).and_then(Value::as_object);
            raw.map_or(0, |raw| raw.len())
        };
        assert!(count("github") > 5, "the comparison has something to compare");
    });
}

#[test]
fn translations_beside_a_catalog_are_shown_to_those_who_prefer_them() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        fs::create_dir(folder.path().join("i18n")).unwrap();
        write(
            "mine.yaml",
            "acme:\n  display_name: Acme\n  auth_mode: NONE\n  docs: https://a.example\n  x: {a: 1, b: [1]}\n",
        );
        write(
            "i18n/providers.de.json",
            r#"{"acme": {"display_name": "Acme GmbH", "x": {"b": [2]}}, "nobody": {}}"#,
        );
        write("i18n/providers.fr.json", "no JSON");
        let settings = TestSettings::default().set("HITCHPOST_CATALOG", folder.path().display().to_string());
        let app = settings.start().await;
        for (accepted, name) in [
            ("de-AT, en;q=0.5", "Acme GmbH"),
            ("en, de;q=0.5", "Acme"),
            ("fr", "Acme"),
            ("pt;q=1, de;q=0.1", "Acme GmbH"),
        ] {
            for path in ["/providers/acme", "/providers?search=acme", "/providers"] {
                let reply = app.client().get(path).header("accept-language", accepted).send().await;
                let vary = reply.header("vary").unwrap_or_default().to_owned();
                assert!(vary.contains("accept-language"), "{path}: {vary}");
                let data = reply.json()["data"].clone();
                let shown = match data.as_array() {
                    Some(list) => list.iter().find(|one| one["name"] == "acme").unwrap().clone(),
                    None => data,
                };
                assert_eq!(shown["display_name"], name, "{path} for {accepted}");
                assert_eq!(shown["x"]["a"], 1);
            }
        }
        assert_eq!(app.anonymous().get("/providers.json").expect(200).await["acme"]["display_name"], "Acme");
    });
}
