//! The public HTTP API.

pub mod input;
