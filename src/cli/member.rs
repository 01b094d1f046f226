//! `hitchpost member-link`: lets a member in again who forgot their password, when no other administrator can. The link is
//! printed once, on standard output; the log never has it.

use std::process::ExitCode;

use clap::Args;

use crate::app::App;
use crate::audit::{self, Call};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::members as rows;
use crate::error::ApiError;
use crate::members::{MemberError, links, normal_email, two_factor};
use crate::rng::Rng;
use crate::start::{self, StartError};

#[derive(Args)]
pub struct MemberLinkArgs {
    /// The e-mail address of the member.
    email: String,
    /// Turn their second factor off, too.
    #[arg(long)]
    without_second_factor: bool,
}

pub async fn print_link(config: Config, args: MemberLinkArgs) -> Result<ExitCode, StartError> {
    let database = start::open_database(&config).await?;
    start::prepare_schema(&config, &database).await?;
    let app = start::build(config, database.pool.clone(), Clock::System, Rng::System).await?;
    let link = audit::within(Call::of_process("hitchpost member-link"), make(&app, &args)).await;
    start::close_database(database).await;
    println!("{}", link?);
    Ok(ExitCode::SUCCESS)
}

async fn make(app: &App, args: &MemberLinkArgs) -> Result<String, StartError> {
    let found = rows::find_by_email(&app.db, &normal_email(&args.email)).await?;
    let member = found.ok_or_else(|| StartError("There is no member with this e-mail address.".into()))?;
    if args.without_second_factor {
        two_factor::switch_off(app, &member).await.map_err(failed)?;
    }
    let token = links::make_reset_link(app, &member).await.map_err(failed)?;
    Ok(links::address(app, "reset", &token))
}

fn failed(error: MemberError) -> StartError {
    StartError(ApiError::from(error).message().to_owned())
}
