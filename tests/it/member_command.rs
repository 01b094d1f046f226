//! `hitchpost member-link`, as an operator runs it for somebody who is locked out: the binary on a database of its own.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::Duration;

use tempfile::TempDir;
use url::form_urlencoded;

use crate::support::{Client, Reply, run};

const EMAIL: &str = "ada@acme.test";
const OLD: &str = "correct horse battery";
const NEW: &str = "another long password";

fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hitchpost"));
    command.env_clear().env("HITCHPOST_DATA_DIR", home.join("data")).env("HITCHPOST_HOST", "127.0.0.1");
    command
}

/// A server that ends before the next command needs its database.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    async fn start(home: &Path) -> Server {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = File::create(home.join("log")).unwrap();
        let mut command = command(home);
        command.env("SERVER_PORT", port.to_string()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = Server { process: command.spawn().unwrap(), url: format!("http://127.0.0.1:{port}") };
        for _ in 0..1200 {
            let is_open = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
            if is_open && Client::new(server.url.clone(), None).get("/ready").send().await.status == 200 {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server did not start: {}", std::fs::read_to_string(home.join("log")).unwrap());
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let client = Client::new(self.url.clone(), None).of_other_routes();
        let ask = client.ask("POST", path).header("content-type", "application/x-www-form-urlencoded");
        ask.bytes(body).send().await
    }

    async fn log_in(&self, password: &str) -> u16 {
        self.post("/login", &[("email", EMAIL), ("password", password)]).await.status.as_u16()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The path of the first link to a page in a text.
fn link_in(text: &str, page: &str) -> String {
    let at = text.find(&format!("/{page}/")).unwrap_or_else(|| panic!("no link to {page}: {text}"));
    text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "/-_".contains(*c)).collect()
}

fn member_link(home: &TempDir, arguments: &[&str]) -> Output {
    command(home.path()).arg("member-link").args(arguments).output().unwrap()
}

#[test]
fn a_member_who_is_locked_out_gets_a_link_that_works_once() {
    let home = tempfile::tempdir().unwrap();
    run(async {
        let server = Server::start(home.path()).await;
        let log = std::fs::read_to_string(home.path().join("log")).unwrap();
        let fields = [("name", "Ada"), ("email", EMAIL), ("password", OLD)];
        assert_eq!(server.post(&link_in(&log, "setup"), &fields).await.status, 303);
        assert_eq!(server.log_in(OLD).await, 303);
    });
    let unknown = member_link(&home, &["bob@acme.test"]);
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        !unknown.status.success() && told.contains("There is no member with this e-mail address."),
        "{told}"
    );
    assert!(unknown.stdout.is_empty());

    let made = member_link(&home, &[" ADA@acme.test ", "--without-second-factor"]);
    let printed = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let link = link_in(&printed, "reset");
    assert_eq!(printed.lines().count(), 1, "a script can read it: {printed}");
    let token = link.rsplit('/').next().unwrap();
    assert!(!String::from_utf8_lossy(&made.stderr).contains(token), "the log never has the link");
    run(async {
        let server = Server::start(home.path()).await;
        assert_eq!(server.log_in(OLD).await, 303, "nothing changed yet");
        assert_eq!(server.post(&link, &[("password", "short")]).await.status, 422);
        assert_eq!(server.post(&link, &[("password", NEW)]).await.status, 303);
        assert_eq!(server.post(&link, &[("password", OLD)]).await.status, 404, "used");
        assert_eq!((server.log_in(OLD).await, server.log_in(NEW).await), (422, 303));
    });
}
