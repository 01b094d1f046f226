//! The integration tests: the whole application on port 0 over a real database, one environment per test.

mod architecture;
mod credentials;
mod documents;
mod fanout;
mod health;
mod oauth;
mod oauth_world;
mod refresh;
mod support;
