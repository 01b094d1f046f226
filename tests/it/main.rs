//! The integration tests: the whole application on port 0 over a real database, one environment per test.

mod architecture;
mod documents;
mod health;
mod oauth;
mod oauth_exceptions;
mod oauth_tokens;
mod oauth_world;
mod support;
