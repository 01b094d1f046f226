//! `/connect/session*`.
