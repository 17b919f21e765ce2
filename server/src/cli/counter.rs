//! `bursar counter`: one number.

use super::{
    Client, Signals,
    failure::{Exit, Failure},
    name,
};
use bursar::{Counter, Manager, counter::Swap};
use serde_json::json;

/// Read and change a counter
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Print what the counter holds
    #[command(after_help = "Example:\n  bursar counter get visits")]
    Get {
        /// The counter
        #[arg(value_parser = name)]
        name: String,
    },
    /// Add to the counter, and print the sum
    #[command(after_help = "Examples:\n  bursar counter add visits --create\n  bursar counter add visits -5")]
    Add {
        /// The counter
        #[arg(value_parser = name)]
        name: String,
        /// What to add
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
        /// Make the counter if it does not exist
        #[arg(long)]
        create: bool,
    },
    /// Set the counter, and print what it held before
    #[command(after_help = "Example:\n  bursar counter set visits 0")]
    Set {
        /// The counter
        #[arg(value_parser = name)]
        name: String,
        /// What it is to hold
        #[arg(allow_negative_numbers = true)]
        value: i64,
        /// Make the counter if it does not exist
        #[arg(long)]
        create: bool,
    },
    /// Set the counter if it holds what is expected; exit code 7: it holds something else
    #[command(after_help = "Example:\n  bursar counter cas generation 7 8 || echo somebody was faster")]
    Cas {
        /// The counter
        #[arg(value_parser = name)]
        name: String,
        /// What it has to hold
        #[arg(allow_negative_numbers = true)]
        expected: i64,
        /// What it is to hold then
        #[arg(allow_negative_numbers = true)]
        value: i64,
    },
}

pub fn run(args: Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| match args.verb {
        Verb::Get { name } => {
            let value = open(manager, &name, false).await?.get().await?;
            output.result(json!({ "counter": name, "value": value }), value)
        }
        Verb::Add { name, by, create } => {
            let value = open(manager, &name, create).await?.add(by).await?;
            output.result(json!({ "counter": name, "value": value }), value)
        }
        Verb::Set { name, value, create } => {
            let previous = open(manager, &name, create).await?.set(value).await?;
            output.result(json!({ "counter": name, "value": value, "previous": previous }), previous)
        }
        Verb::Cas { name, expected, value } => match open(manager, &name, false).await?.compare_and_set(expected, value).await? {
            Swap::Swapped => output.result(json!({ "counter": name, "value": value }), value),
            Swap::Kept { value } => {
                Err(Failure::new(Exit::Conflict, format!("counter cas {name}: it holds {value}, expected {expected}")))
            }
        },
    })
}

async fn open(manager: &Manager, name: &str, create: bool) -> Result<Counter, Failure> {
    super::open(create, async |create| match create {
        true => manager.counter(name).open_or_create().await,
        false => manager.counter(name).open().await,
    })
    .await
}
