//! Hitchpost: API credentials of end users, the flows that obtain them, and a proxy that uses them.

pub mod api;
pub mod auth;
pub mod catalog;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod db;
pub mod egress;
pub mod error;
pub mod rng;
pub mod template;
pub mod time_format;
