//! The integration tests: the whole application on port 0 over a real database, one environment per test.

mod architecture;
mod documents;
mod health;
mod support;
