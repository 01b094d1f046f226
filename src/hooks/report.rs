//! What the log of operations tells of hooks: their requests are messages by themselves, here is what came of them.

use chrono::TimeDelta;
use serde_json::json;

use super::Gained;
use super::steps::Trouble;
use crate::logs::{Level, LogError, Operation};

/// Tells what the steps brought, by name, and what they did not.
pub(super) fn tell(operation: &Operation, gained: &Gained) {
    for note in &gained.notes {
        operation.info(note);
    }
    let names = |members: &serde_json::Map<String, serde_json::Value>| -> Vec<String> {
        members.keys().cloned().collect()
    };
    let (set, metadata) = (names(&gained.set), names(&gained.metadata));
    if !(set.is_empty() && metadata.is_empty() && gained.unset.is_empty()) {
        let meta = json!({"connection_config": set, "metadata": metadata, "removed": gained.unset});
        operation.tell(Level::Info, "The connection learned more about itself.", meta);
    }
}

/// Ends the operation. `next`: how long until the hook is run again, when it is.
pub(super) fn conclude(
    operation: &Operation,
    code: &'static str,
    troubles: &[Trouble],
    next: Option<TimeDelta>,
) {
    if troubles.is_empty() {
        return operation.succeed();
    }
    if let Some(pause) = next {
        operation.info(&format!("It is tried again in {}.", in_words(pause)));
    }
    let told = |trouble: &Trouble| match trouble.said.as_str() {
        "" => trouble.message.clone(),
        said => format!("{}: {said}", trouble.message),
    };
    let reasons: Vec<String> = troubles.iter().map(told).collect();
    operation.fail(&LogError::new(code, reasons.join("; ")));
}

/// What went wrong, for the log of the process.
pub(super) fn reasons(troubles: &[Trouble]) -> String {
    let messages: Vec<&str> = troubles.iter().map(|trouble| trouble.message.as_str()).collect();
    messages.join("; ")
}

fn in_words(pause: TimeDelta) -> String {
    let (count, unit) = match pause.num_seconds() {
        seconds if seconds < 60 => (seconds, "second"),
        seconds if seconds < 3600 => (seconds / 60, "minute"),
        seconds => (seconds / 3600, "hour"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_told_in_their_largest_unit() {
        for (seconds, expected) in
            [(30, "30 seconds"), (60, "1 minute"), (300, "5 minutes"), (3600, "1 hour"), (21_600, "6 hours")]
        {
            assert_eq!(in_words(TimeDelta::seconds(seconds)), expected);
        }
    }
}
