//! The command line: `serve` (default), `migrate`, `check-config`, `healthcheck`, `account-key`, `member-link`,
//! `apply`, `export`, `catalog`.

mod account_key;
mod catalog;
mod member;
mod serve;
mod settings;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use self::account_key::AccountKeyCommand;
use self::catalog::CatalogCommand;
use self::member::MemberLinkArgs;
use self::settings::ApplyArgs;
use crate::config::{Config, Settings, env_example, settings_table};
use crate::settings_file::SettingsFile;
use crate::start::{self, StartError};
use crate::telemetry;

/// Holds the API credentials of your end users, runs the flows that obtain them, and proxies authenticated calls.
#[derive(Parser)]
#[command(name = "hitchpost", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default).
    Serve,
    /// Apply pending migrations and leave.
    Migrate(MigrateArgs),
    /// Read every setting and say what is wrong with it.
    CheckConfig(CheckConfigArgs),
    /// Ask a running server whether it is ready; for container health checks.
    Healthcheck(HealthcheckArgs),
    /// Make keys of the account, for creating and deleting environments over the API.
    #[command(subcommand)]
    AccountKey(AccountKeyCommand),
    /// Print a link with which a member of the dashboard sets a new password.
    MemberLink(MemberLinkArgs),
    /// Make environments, settings, keys, variables and integrations agree with a file.
    Apply(ApplyArgs),
    /// Print what is stored as a file that `apply` accepts, without its secrets.
    Export,
    /// Check catalog files.
    #[command(subcommand)]
    Catalog(CatalogCommand),
}

#[derive(Args)]
struct MigrateArgs {
    /// Only list the migrations that are pending; exit code 1 when there are any.
    #[arg(long)]
    check: bool,
}

#[derive(Args)]
struct CheckConfigArgs {
    /// Print the text of `.env.example` instead.
    #[arg(long)]
    print_env_example: bool,
    /// Print the settings as a Markdown table instead.
    #[arg(long)]
    print_settings_table: bool,
}

#[derive(Args)]
struct HealthcheckArgs {
    /// Where to ask; by default this machine's own port.
    url: Option<String>,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or(Command::Serve);
    let Command::CheckConfig(args) = &command else { return with_settings(command) };
    if args.print_env_example {
        print!("{}", env_example());
        return ExitCode::SUCCESS;
    }
    if args.print_settings_table {
        print!("{}", settings_table());
        return ExitCode::SUCCESS;
    }
    with_settings(command)
}

fn with_settings(command: Command) -> ExitCode {
    let read = read_settings().and_then(|settings| {
        let file = read_settings_file(&command, &settings.config)?;
        Ok((settings, file))
    });
    let (settings, file) = match read {
        Ok(read) => read,
        Err(problems) => {
            eprintln!("Hitchpost cannot start with these settings:");
            problems.iter().for_each(|problem| eprintln!("  - {problem}"));
            return ExitCode::from(2);
        }
    };
    if let Command::CheckConfig(_) = command {
        settings.warnings.iter().for_each(|warning| println!("note: {warning}"));
        println!("The settings are fine.");
        return ExitCode::SUCCESS;
    }
    telemetry::init(&settings.config.log);
    run(command, settings, file)
}

/// The settings of the process environment.
fn read_settings() -> Result<Settings, Vec<String>> {
    let names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    Config::from_env(&variable, &names)
}

/// A variable of the process.
#[expect(clippy::disallowed_methods, reason = "the one place that hands the environment to the settings")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The file that `HITCHPOST_SETTINGS` names, for the commands that it concerns.
fn read_settings_file(command: &Command, config: &Config) -> Result<Option<SettingsFile>, Vec<String>> {
    if !matches!(command, Command::Serve | Command::CheckConfig(_)) {
        return Ok(None);
    }
    let path = config.settings_file.as_ref();
    path.map(|path| settings::read_file(config, path, &variable)).transpose()
}

fn run(command: Command, settings: Settings, file: Option<SettingsFile>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&StartError(format!("No threads could be started: {error}."))),
    };
    let result = runtime.block_on(async {
        match command {
            Command::Migrate(args) => migrate(&settings.config, args.check).await,
            Command::AccountKey(command) => account_key::run(settings.config, command).await,
            Command::MemberLink(args) => member::print_link(settings.config, args).await,
            Command::Apply(args) => settings::apply(settings.config, &variable, args).await,
            Command::Export => settings::print_export(settings.config).await,
            Command::Catalog(command) => catalog::run(&settings.config, command).await,
            Command::Healthcheck(args) => healthcheck(&settings.config, args.url).await,
            Command::Serve | Command::CheckConfig(_) => serve::serve(settings, file).await,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result.unwrap_or_else(|error| fail(&error))
}

fn fail(error: &StartError) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

async fn migrate(config: &Config, check: bool) -> Result<ExitCode, StartError> {
    let database = start::open_database(config).await?;
    let pending = start::pending_migrations(&database).await?;
    if check {
        pending.iter().for_each(|name| println!("pending: {name}"));
        return Ok(if pending.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    start::migrate(config, &database).await?;
    println!("{} migration(s) applied.", pending.len());
    Ok(ExitCode::SUCCESS)
}

async fn healthcheck(config: &Config, url: Option<String>) -> Result<ExitCode, StartError> {
    let url = url.unwrap_or_else(|| format!("http://127.0.0.1:{}/ready", config.http.port));
    let answer = crate::egress::ask_own_server(&url, Duration::from_secs(5)).await;
    match answer {
        Ok(status) if status.is_success() => Ok(ExitCode::SUCCESS),
        Ok(status) => Err(StartError(format!("{url} answered {}.", status.as_u16()))),
        Err(error) => Err(StartError(format!("{url} did not answer: {error}."))),
    }
}
