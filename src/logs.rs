//! Operations: the ids under which attempts are told apart in errors and process logs.

use crate::app::App;

/// A new operation id: milliseconds since the epoch, `_`, eight random characters.
pub fn operation_id(app: &App) -> String {
    format!("{}_{}", app.clock.now().timestamp_millis(), app.rng.alphanumeric(8))
}
