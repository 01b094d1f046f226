//! The integration tests: the whole application on port 0 over a real database, one environment per test.

mod architecture;
mod connect_sessions;
mod connections;
mod credentials;
mod documents;
mod fanout;
mod health;
mod integrations;
mod migrations;
mod oauth;
mod oauth_exceptions;
mod oauth_tokens;
mod oauth_world;
mod providers;
mod proxy;
mod proxy_answer;
mod proxy_body;
mod proxy_raw;
mod proxy_refusals;
mod proxy_repeat;
mod proxy_verification;
mod refresh;
mod support;
