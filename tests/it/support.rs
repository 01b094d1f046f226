//! The world of the tests. One database per test process, one environment per test.

pub mod app;
pub mod aws;
pub mod browser;
pub mod case;
pub mod catalog;
pub mod client;
pub mod contract;
pub mod github;
pub mod internet;
pub mod keys;
pub mod logged;
pub mod mail_server;
pub mod mcp_server;
pub mod member;
pub mod provider;
pub mod receiver;
pub mod schema;
pub mod socket;
pub mod target;
pub mod token_endpoint;

use std::future::Future;
use std::sync::LazyLock;

use tokio::runtime::Runtime;

pub use app::TestApp;
pub use browser::Browser;
pub use case::{Case, check};
pub use client::{Client, Reply};
pub use member::Person;
pub use provider::Provider;
pub use socket::Socket;

/// One runtime for the whole process, because all tests share the database's one connection.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("threads start")
});

/// Runs the body of a test.
pub fn run<F: Future<Output = ()>>(test: F) {
    RUNTIME.block_on(test);
}

/// A variable that tells the tests what to use.
#[expect(clippy::disallowed_methods, reason = "which servers the tests use is told by the environment")]
pub fn test_setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
