//! The integration tests: the whole application on port 0 over a real database, one environment per test.

mod architecture;
mod connect_sessions;
mod connections;
mod documents;
mod health;
mod integrations;
mod providers;
mod support;
