//! `bursar condition`: to wait until somebody notifies. Each verb acquires the condition's lock and releases it again.

use super::{Client, Signals, failure::Failure, name, not_in_time, output::Output};
use crate::config;
use bursar::{Condition, Manager};
use bursar_proto::Wait;
use serde_json::json;

/// Wait to be notified, and notify
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Wait until somebody notifies
    ///
    /// Who is not there yet is not notified, and nothing is remembered: to wait for something that stays so, see `bursar event`.
    #[command(after_help = "Example:\n  bursar condition wait delivered --create --wait 1m && ./look-again")]
    Wait {
        /// The condition
        #[arg(value_parser = name)]
        name: String,
        /// How long to wait: a duration, 0 or forever
        #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "forever")]
        wait: Wait,
        /// Make the condition if it does not exist
        #[arg(long)]
        create: bool,
    },
    /// Notify those who wait, longest first, and print how many they were
    #[command(after_help = "Examples:\n  bursar condition notify delivered\n  bursar condition notify delivered --all")]
    Notify {
        /// The condition
        #[arg(value_parser = name)]
        name: String,
        /// How many at most
        #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        number: u64,
        /// All who wait
        #[arg(long, conflicts_with = "number")]
        all: bool,
    },
}

pub fn run(args: Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| match args.verb {
        Verb::Wait { name, wait, create } => wait_for(&open(manager, &name, create).await?, wait, output).await,
        Verb::Notify { name, number, all } => {
            let number = if all { None } else { Some(number) };
            notify(&open(manager, &name, false).await?, number, output).await
        }
    })
}

async fn open(manager: &Manager, name: &str, create: bool) -> Result<Condition, Failure> {
    super::open(create, async |create| match create {
        true => manager.condition(name).open_or_create().await,
        false => manager.condition(name).open().await,
    })
    .await
}

async fn wait_for(condition: &Condition, wait: Wait, output: &mut Output) -> Result<(), Failure> {
    let guard = condition.acquire().await?;
    let (guard, notified) = condition.wait_within(guard, wait).await?;
    guard.release().await?;
    let name = condition.name();
    match notified {
        true => output.result(json!({ "condition": name, "notified": true }), format_args!("{name}: notified")),
        false => Err(not_in_time(format!("condition wait {name}: nobody notified"))),
    }
}

/// All, without a number.
async fn notify(condition: &Condition, number: Option<u64>, output: &mut Output) -> Result<(), Failure> {
    let guard = condition.acquire().await?;
    let count = match number {
        Some(number) => guard.notify(number).await?,
        None => guard.notify_all().await?,
    };
    guard.release().await?;
    output.result(json!({ "condition": condition.name(), "notified": count }), count)
}
