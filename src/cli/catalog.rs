//! `hitchpost catalog lint`: explains what is wrong in catalog files. Needs no database and changes nothing.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use url::Url;

use crate::catalog::{Finding, Report, Severity, Source, embedded_files, lint};
use crate::config::{Config, OutboundConfig};
use crate::start::{StartError, build_egress, fetch_catalog};

/// The address is the operator's own word, as it is for `healthcheck`.
const OPEN_POLICY: &str =
    r#"{"mode":"permissive","blockPrivateIps":false,"blockLinkLocal":false,"allowLoopback":true}"#;

#[derive(Subcommand)]
pub enum CatalogCommand {
    /// Explain what is wrong in catalog files; exit code 1 when there are errors, 0 when there are warnings at most.
    #[command(visible_alias = "check")]
    Lint(LintArgs),
}

#[derive(Args)]
pub struct LintArgs {
    /// Files, folders or http(s) URLs of catalogs in the grammar of docs/CATALOG.md.
    #[arg(required = true, value_name = "PATH")]
    sources: Vec<String>,
    /// How the findings are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub async fn run(config: &Config, command: CatalogCommand) -> Result<ExitCode, StartError> {
    let CatalogCommand::Lint(args) = command;
    let mut sources = Vec::with_capacity(args.sources.len());
    for name in &args.sources {
        sources.push(open(config, name).await?);
    }
    let report = lint(&embedded_files(), &sources);
    let text = match args.format {
        Format::Text => as_text(&report),
        Format::Json => as_json(&report),
    };
    // A reader that has seen enough, such as `head`, is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(if report.count(Severity::Error) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn open(config: &Config, name: &str) -> Result<Source, StartError> {
    let url = Url::parse(name).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else { return Ok(Source::Path(name.into())) };
    let outbound = OutboundConfig {
        policy: Some(OPEN_POLICY.to_owned()),
        oauth_policy: None,
        ..config.outbound.clone()
    };
    let text = fetch_catalog(&build_egress(&outbound, 0)?, url).await;
    let text = text.map_err(|reason| StartError(format!("{name} cannot be fetched: {reason}.")))?;
    Ok(Source::Text { name: name.to_owned(), text })
}

fn as_text(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        // Writing to a text cannot fail.
        let _ = write_finding(&mut text, finding);
    }
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    let _ = writeln!(text, "{} entries, {errors} error(s), {warnings} warning(s).", report.entries);
    text
}

fn write_finding(text: &mut String, finding: &Finding) -> std::fmt::Result {
    let severity = if finding.severity == Severity::Error { "error" } else { "warning" };
    write!(text, "{}:", finding.source)?;
    if let Some(line) = finding.line {
        write!(text, "{line}:")?;
    }
    write!(text, " {severity}[{}]", finding.rule)?;
    if let Some(entry) = &finding.entry {
        write!(text, " {entry}")?;
    }
    if !finding.path.is_empty() {
        write!(text, " {}", finding.path)?;
    }
    writeln!(text, ": {}\n    {}", finding.message, finding.advice)
}

fn as_json(report: &Report) -> String {
    let body = json!({
        "entries": report.entries,
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "findings": report.findings,
    });
    format!("{body:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let text = "a:\n  auth_mode: NONE\n  docs: https://a.example\n".to_owned();
        lint(&[], &[Source::Text { name: "a.yaml".to_owned(), text }])
    }

    #[test]
    fn findings_are_printed_for_people_and_for_programs() {
        let text = "a.yaml:1: error[missing-key] a: `display_name` is required\n    Add `display_name: ...`; an alias may \
                    inherit it.\n1 entries, 1 error(s), 0 warning(s).\n";
        assert_eq!(as_text(&report()), text);
        let printed: serde_json::Value = serde_json::from_str(&as_json(&report())).unwrap_or_default();
        assert_eq!(
            (&printed["entries"], &printed["errors"], &printed["warnings"]),
            (&json!(1), &json!(1), &json!(0))
        );
        let finding = &printed["findings"][0];
        assert_eq!((&finding["severity"], &finding["line"]), (&json!("error"), &json!(1)));
        assert_eq!((&finding["entry"], &finding["rule"]), (&json!("a"), &json!("missing-key")));
    }
}
