//! Reading what callers send: query strings, JSON bodies, path parameters and headers become typed structs, and everything
//! that is wrong with them is reported at once. Called by handlers before they load anything. Pure: never does I/O, never
//! panics on any input, and never repeats a caller's value in a message (it may be a secret).
//!
//! A handler's input struct reads itself; fields are judged in the order in which they are written:
//!
//! ```
//! use hitchpost::api::input::{Issues, TextRule, formats, read_object};
//! use serde_json::{Value, json};
//!
//! struct NewEnvironment {
//!     name: String,
//!     is_production: Option<bool>,
//! }
//!
//! fn read_new_environment(body: Option<&Value>) -> Result<NewEnvironment, Issues> {
//!     read_object(body, |body| NewEnvironment {
//!         name: body.required_text("name", &formats::ENVIRONMENT_NAME),
//!         is_production: body.optional_bool("is_production"),
//!     })
//! }
//!
//! assert_eq!(read_new_environment(Some(&json!({"name": "staging"}))).map(|new| new.name).ok().as_deref(), Some("staging"));
//! assert!(read_new_environment(Some(&json!({"name": "staging", "colour": "red"}))).is_err());
//! ```

pub mod formats;
mod headers;
mod issue;
mod query;
mod reader;
mod scalars;
pub mod tags;
mod webhook_url;

pub use formats::TextRule;
pub use headers::headers_as_object;
pub use issue::{Issue, IssueCode, Issues};
pub use query::parse_query;
pub use reader::{ObjectReader, read_nothing, read_object};
