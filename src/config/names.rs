//! Warnings about names that nobody reads.

use super::settings;

/// A warning for each `NANGO_*` and `HITCHPOST_*` name that no setting has, and for settings without effect.
pub fn unknown_names(names: &[String]) -> Vec<String> {
    let mut warnings: Vec<String> = names.iter().filter_map(|name| name_warning(name)).collect();
    warnings.sort();
    warnings
}

fn name_warning(name: &str) -> Option<String> {
    if !(name.starts_with("NANGO_") || name.starts_with("HITCHPOST_")) {
        return None;
    }
    let base = name.strip_suffix("_FILE").unwrap_or(name);
    let canonical = base.strip_prefix("HITCHPOST_").map(|rest| format!("NANGO_{rest}"));
    let spellings = [Some(base.to_owned()), canonical, Some(name.to_owned())];
    let known = spellings.iter().flatten().find_map(|spelling| settings::find(spelling));
    match known.map(|setting| setting.status) {
        Some(settings::Status::Active) => None,
        Some(settings::Status::Reserved) => Some(format!("{name} has no effect in this version.")),
        Some(settings::Status::Ignored) => Some(format!("{name} is ignored: it is not needed here.")),
        None if has_prefix(&spellings, settings::PREFIXES) => None,
        None if has_prefix(&spellings, settings::IGNORED_PREFIXES) => {
            Some(format!("{name} has no effect in this version."))
        }
        None => Some(format!("{name} is not a setting that Hitchpost knows; is it misspelt?")),
    }
}

fn has_prefix(spellings: &[Option<String>], prefixes: &[&str]) -> bool {
    spellings.iter().flatten().any(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
}
