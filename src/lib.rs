//! Hitchpost: API credentials of end users, the flows that obtain them, and a proxy that uses them.

pub mod api;
pub mod app;
pub mod auth;
pub mod caches;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod db;
pub mod egress;
pub mod error;
pub mod hub;
pub mod jobs;
pub mod keys;
pub mod limiter;
pub mod rng;
pub mod server;
pub mod start;
pub mod telemetry;
pub mod template;
pub mod time_format;
