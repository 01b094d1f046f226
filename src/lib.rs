//! Hitchpost: API credentials of end users, the flows that obtain them, and a proxy that uses them.

pub mod auth;
pub mod catalog;
pub mod template;
