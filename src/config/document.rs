//! Writes the settings table as `.env.example` and as the README's table. A test compares both with the files.

use std::fmt::Write;

use super::settings::{SECTIONS, Setting, Status};

/// The text of `.env.example`: every setting that has an effect, commented out, with its default.
pub fn env_example() -> String {
    let mut text = String::from(
        "# Every setting of Hitchpost, with its default. Generated from src/config/settings.rs by\n\
         # `hitchpost check-config --print-env-example`; nothing needs to be set.\n\
         # NANGO_X is also read as HITCHPOST_X, which wins; <NAME>_FILE reads the value from a file.\n",
    );
    for section in SECTIONS {
        let active = section.settings.iter().filter(|setting| setting.status == Status::Active);
        let lines: String = active.map(example_line).collect();
        if !lines.is_empty() {
            let _ = write!(text, "\n# --- {} ---\n{lines}", section.title);
        }
    }
    text
}

fn example_line(setting: &Setting) -> String {
    format!("\n# {}\n# {}={}\n", setting.meaning, setting.name, setting.default)
}

/// The configuration table of the README, as Markdown.
pub fn settings_table() -> String {
    let mut text = String::from("| Setting | Default | Meaning |\n| --- | --- | --- |\n");
    for setting in SECTIONS.iter().flat_map(|section| section.settings) {
        if setting.status == Status::Active {
            let default =
                if setting.default.is_empty() { "–".into() } else { format!("`{}`", setting.default) };
            let _ = writeln!(text, "| `{}` | {default} | {} |", setting.name, setting.meaning);
        }
    }
    text
}
