//! Webhooks: those of providers (`incoming`), what this server tells customers' backends (`outgoing`), and how people look at
//! what it told them (`deliveries`). Called by whoever makes an event, by the public route of providers, by the JSON routes of
//! operators and by the dashboard.

pub mod deliveries;
pub mod incoming;
pub mod outgoing;
