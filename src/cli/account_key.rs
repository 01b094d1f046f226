//! `hitchpost account-key create`: makes a key of the account, with which environments and their API keys are made and
//! deleted. The key is printed once, on standard output; the log never has it.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::app::App;
use crate::audit::{self, Call};
use crate::auth::scopes;
use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::Secret;
use crate::db::accounts;
use crate::keys::{KeyOwner, NewApiKey, create_api_key};
use crate::rng::Rng;
use crate::start::{self, StartError};

#[derive(Subcommand)]
pub enum AccountKeyCommand {
    /// Make a key and print it once.
    Create(CreateArgs),
}

#[derive(Args)]
pub struct CreateArgs {
    /// A name to recognize the key by, up to 255 characters.
    #[arg(value_parser = parse_name)]
    name: String,
    /// What the key may do, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "account:*", value_parser = parse_scope)]
    scopes: Vec<String>,
}

fn parse_name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if (1..=255).contains(&length) { Ok(text.to_owned()) } else { Err("1 to 255 characters".to_owned()) }
}

fn parse_scope(text: &str) -> Result<String, String> {
    if scopes::OF_ACCOUNT.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("the scopes are {}", scopes::OF_ACCOUNT.join(", ")))
}

pub async fn run(config: Config, command: AccountKeyCommand) -> Result<ExitCode, StartError> {
    let AccountKeyCommand::Create(args) = command;
    let database = start::open_database(&config).await?;
    start::prepare_schema(&config, &database).await?;
    let app = start::build(config, database.pool.clone(), Clock::System, Rng::System).await?;
    let secret = create(&app, &args).await;
    start::close_database(database).await;
    println!("{}", secret?.expose());
    Ok(ExitCode::SUCCESS)
}

async fn create(app: &App, args: &CreateArgs) -> Result<Secret, StartError> {
    let account = accounts::find_first(&app.db).await?;
    let account_id = account.ok_or_else(|| StartError("The database has no account.".into()))?;
    let owner = KeyOwner { account_id, environment_id: None };
    let new = NewApiKey { display_name: &args.name, scopes: &args.scopes, secret: None };
    let call = Call::of_process("hitchpost account-key create");
    let created = audit::within(call, create_api_key(app, owner, new)).await?;
    Ok(created.secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scopes_of_the_account_are_taken() {
        for (scope, is_taken) in [
            ("account:*", true),
            ("account:environments:create", true),
            ("environment:*", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(parse_scope(scope).is_ok(), is_taken, "{scope}");
        }
    }

    #[test]
    fn names_have_a_bounded_length() {
        for (length, is_taken) in [(0, false), (1, true), (255, true), (256, false)] {
            assert_eq!(parse_name(&"x".repeat(length)).is_ok(), is_taken, "{length}");
        }
    }
}
