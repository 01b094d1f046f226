//! `hitchpost apply` and `hitchpost export`: settings files on the command line.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::app::SharedApp;
use crate::audit::{self, Call};
use crate::clock::Clock;
use crate::config::{Config, Lookup};
use crate::db::{accounts, pool};
use crate::rng::Rng;
use crate::settings_file::{MadeKey, Plan, PlanOptions, SettingsFile, export};
use crate::start::{self, Database, StartError};

/// The exit code of a file with mistakes.
const MISTAKES: u8 = 2;

#[derive(Args)]
pub struct ApplyArgs {
    /// A settings file in YAML, or `-` for standard input.
    file: PathBuf,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Delete what the file does not name, in the sections that it has; environments too, except `prod`.
    #[arg(long)]
    prune: bool,
}

/// Makes the database agree with a file, and says what changed.
pub async fn apply(config: Config, lookup: Lookup<'_>, args: ApplyArgs) -> Result<ExitCode, StartError> {
    let file = match read_file(&config, &args.file, lookup) {
        Ok(file) => file,
        Err(problems) => return Ok(tell_mistakes(&problems)),
    };
    let database = start::open_database(&config).await?;
    let result = apply_to(config, &database, &file, &args).await;
    start::close_database(database).await;
    result
}

async fn apply_to(
    config: Config,
    database: &Database,
    file: &SettingsFile,
    args: &ApplyArgs,
) -> Result<ExitCode, StartError> {
    if args.dry_run {
        check_in_use(database).await?;
    } else {
        start::prepare_schema(&config, database).await?;
    }
    let app = start::build(config, database.pool.clone(), Clock::System, Rng::System).await?;
    let plan = match Plan::build(&app, file, PlanOptions { prune: args.prune }).await {
        Ok(plan) => plan,
        Err(problems) => return Ok(tell_mistakes(&problems)),
    };
    plan.lines().for_each(|line| println!("{line}"));
    let count = plan.lines().count();
    if plan.is_empty() {
        println!("no changes");
    } else if args.dry_run {
        println!("{count} change(s) to make; nothing was written");
    } else {
        run(&app, plan).await?;
        println!("{count} change(s) made");
    }
    Ok(ExitCode::SUCCESS)
}

/// Carries the plan out; new secrets are printed once.
async fn run(app: &SharedApp, plan: Plan) -> Result<(), StartError> {
    let mut tell = |key: MadeKey| {
        let owner =
            key.environment.map_or_else(|| "account".to_owned(), |name| format!("environment {name}"));
        println!("  {owner}: the secret of API key {} is {} (shown once)", key.name, key.secret.expose());
        Ok(())
    };
    let call = Call::of_process("hitchpost apply");
    audit::within(call, plan.run(app, &mut tell)).await.map_err(StartError)
}

/// A dry run must not prepare a database either.
async fn check_in_use(database: &Database) -> Result<(), StartError> {
    let is_migrated = pool::pending_migrations(&database.pool).await?.is_empty();
    let is_in_use = is_migrated && accounts::find_first(&database.pool).await?.is_some();
    if is_in_use {
        return Ok(());
    }
    Err(StartError(
        "A dry run needs a database that this version has used before. Start the server once, or leave --dry-run out."
            .to_owned(),
    ))
}

fn tell_mistakes(problems: &[String]) -> ExitCode {
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    ExitCode::from(MISTAKES)
}

/// Reads and judges a settings file.
///
/// # Errors
/// Every mistake, one line each.
pub fn read_file(config: &Config, path: &Path, lookup: Lookup<'_>) -> Result<SettingsFile, Vec<String>> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|error| vec![format!("{name}: the file cannot be read ({error})")])?;
    let policies = config.outbound.policies()?;
    SettingsFile::read(&name, &text, lookup, |url| policies.proxy.check_url(url).is_ok())
}

fn read_text(path: &Path) -> std::io::Result<String> {
    if path != Path::new("-") {
        return std::fs::read_to_string(path);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// Prints a file that [`apply`] accepts, with references in the place of secrets.
pub async fn print_export(config: Config) -> Result<ExitCode, StartError> {
    let database = start::open_database(&config).await?;
    let text = export_from(config, &database).await;
    start::close_database(database).await;
    print!("{}", text?);
    Ok(ExitCode::SUCCESS)
}

async fn export_from(config: Config, database: &Database) -> Result<String, StartError> {
    start::prepare_schema(&config, database).await?;
    let app = start::build(config, database.pool.clone(), Clock::System, Rng::System).await?;
    export(&app).await.map_err(|error| StartError(error.message().to_owned()))
}
