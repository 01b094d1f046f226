//! `hitchpost apply`, `hitchpost export` and `HITCHPOST_SETTINGS`, as an operator runs them: the binary on a database of
//! its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Client, run};

const CI_KEY: &str = "2f1c5e0e-7c1b-4f0a-9a53-6f2f6f7f0a11";

/// A folder with a database in it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Home(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hitchpost"));
        command
            .env_clear()
            .env("HITCHPOST_DATA_DIR", self.path("data"))
            .env("HITCHPOST_HOST", "127.0.0.1")
            .env("LOG_LEVEL", "error")
            .env("TOKEN", "t0ken");
        command
    }

    fn apply(&self, file: &Path, more: &[&str]) -> (i32, String) {
        told(self.command().arg("apply").arg(file).args(more).output().unwrap())
    }
}

fn told(output: Output) -> (i32, String) {
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text)
}

const FIRST: &str = "\
environments:
  dev:
    variables: { REGION: eu, TOKEN: '${TOKEN}' }
    api_keys: { ci: { scopes: ['environment:*'] }, Default - Full access: }
    integrations: { notion: { provider: unauthenticated-nothing } }
  staging:
";

#[test]
fn a_file_is_tried_applied_exported_and_pruned() {
    let home = Home::new();
    let bad = home.write("bad.yaml", FIRST);
    let file = home.write(
        "f.yaml",
        &FIRST.replace("    integrations: { notion: { provider: unauthenticated-nothing } }\n", ""),
    );
    let (code, text) = home.apply(&file, &["--dry-run"]);
    assert!(
        code == 1 && text.contains("A dry run needs a database that this version has used before"),
        "{text}"
    );
    let (code, text) = home.apply(&bad, &[]);
    assert!(code == 2 && text.contains("bad.yaml:5: environments.dev.integrations.notion"), "{text}");
    let (code, text) = home.apply(&file, &["--dry-run"]);
    assert_eq!(code, 0, "{text}");
    let planned = "+ environment dev: API key ci\n+ environment dev: variable REGION\n+ environment dev: variable TOKEN\n\
                   + environment staging\n";
    assert_eq!(text, format!("{planned}4 change(s) to make; nothing was written\n"));
    let (code, text) = home.apply(&file, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with(planned) && text.ends_with("4 change(s) made\n"), "{text}");
    assert!(
        text.contains("environment dev: the secret of API key ci is ") && !text.contains("t0ken"),
        "{text}"
    );
    assert_eq!(home.apply(&file, &[]), (0, "no changes\n".to_owned()));
    let (code, exported) = told(home.command().arg("export").output().unwrap());
    assert_eq!(code, 0, "{exported}");
    assert!(exported.contains("TOKEN: ") && !exported.contains("t0ken"), "{exported}");
    let export = home.write("export.yaml", &exported);
    let (code, text) = home.apply(&export, &[]);
    assert!(
        code == 2
            && text.contains("DEV_VARIABLE_REGION is not set")
            && text.contains("DEV_VARIABLE_TOKEN is not set"),
        "{text}"
    );
    let again = home
        .command()
        .arg("apply")
        .arg(&export)
        .env("DEV_VARIABLE_REGION", "eu")
        .env("DEV_VARIABLE_TOKEN", "t0ken")
        .output();
    assert_eq!(told(again.unwrap()), (0, "no changes\n".to_owned()));
    let less = home.write("less.yaml", "environments:\n  dev:\n    variables: { REGION: eu }\n");
    assert_eq!(home.apply(&less, &[]), (0, "no changes\n".to_owned()));
    let (code, text) = home.apply(&less, &["--prune"]);
    let pruned =
        "- environment dev: variable TOKEN\n- environment staging with everything in it\n2 change(s) made\n";
    assert_eq!((code, text.as_str()), (0, pruned));
    assert_eq!(home.apply(&less, &["--prune"]), (0, "no changes\n".to_owned()));
}

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_server_applies_its_settings_file_at_the_start() {
    let home = Home::new();
    let file = home.write(
        "f.yaml",
        "environments:\n  dev:\n    api_keys: { ci: { secret: '${CI_KEY}' }, made: }\n    variables: { TOKEN: '${TOKEN}' }\n",
    );
    for _ in 0..2 {
        let port = free_port();
        let mut command = home.command();
        command.env("HITCHPOST_SETTINGS", &file).env("CI_KEY", CI_KEY).env("SERVER_PORT", port.to_string());
        let _server = Server(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        run(async {
            let client = Client::new(format!("http://127.0.0.1:{port}"), Some(CI_KEY.to_owned()));
            wait_until_ready(port).await;
            let variables = client.get("/environment-variables").expect(200).await;
            assert_eq!(variables, serde_json::json!([{"name": "TOKEN", "value": "t0ken"}]));
        });
    }
    let kept = std::fs::read_to_string(home.path("data").join("api-keys.env")).unwrap();
    assert_eq!(kept.matches("API key \"made\" of dev, made by the settings file").count(), 1, "{kept}");
}

async fn wait_until_ready(port: u16) {
    for _ in 0..1200 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            let ready = Client::new(format!("http://127.0.0.1:{port}"), None).get("/ready").send().await;
            if ready.status == 200 {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server did not start");
}

#[test]
fn mistakes_in_the_settings_file_stop_the_start_in_sentences() {
    let home = Home::new();
    let cases: [(&str, &[&str]); 4] = [
        ("environments: [", &["f.yaml:1: this is not the YAML of a settings file"]),
        (
            "environments:\n  dev:\n    hmac_key: ${ONE}\n    variables: { A: '${TWO}' }\n",
            &[
                "f.yaml:3: environments.dev.hmac_key: the environment variable ONE is not set",
                "environment variable TWO is not set",
            ],
        ),
        (
            "environments:\n  dev:\n    colour: red\n",
            &["f.yaml:3: environments.dev.colour: nobody knows this key; known here: "],
        ),
        (
            "environments:\n  dev:\n    integrations: { x: { provider: nope } }\n",
            &[
                "HITCHPOST_SETTINGS cannot be applied",
                "f.yaml:3: environments.dev.integrations.x: provider the catalog has no such",
            ],
        ),
    ];
    for (text, expected) in cases {
        let file = home.write("f.yaml", text);
        let output = home
            .command()
            .env("HITCHPOST_SETTINGS", &file)
            .env("SERVER_PORT", free_port().to_string())
            .output();
        let (code, told) = told(output.unwrap());
        assert!(code > 0 && expected.iter().all(|part| told.contains(part)), "{code} {told}");
    }
    let missing =
        home.command().arg("check-config").env("HITCHPOST_SETTINGS", home.path("nowhere.yaml")).output();
    let (code, told) = told(missing.unwrap());
    assert!(code == 2 && told.contains("nowhere.yaml: the file cannot be read"), "{told}");
}
