//! `bursar event` and `bursar latch`: flags and gates to wait for.

use super::{Client, Signals, failure::Failure, name, not_in_time, output::Output};
use crate::config;
use bursar::{Event, Manager};
use bursar_proto::Wait;
use serde_json::json;

/// Set, clear and wait for an event
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Wait until the event is set, and print its version
    #[command(after_help = "\
Examples:
  bursar event wait ready --wait 1m && ./start
  version=$(bursar event get reload --json | jq .version)
  bursar event wait reload --after \"$version\"")]
    Wait {
        /// The event
        #[arg(value_parser = name)]
        name: String,
        /// Wait until it was set after this version, also if it was cleared again meanwhile
        #[arg(long, value_name = "VERSION")]
        after: Option<u64>,
        /// How long to wait: a duration, 0 or forever
        #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "forever")]
        wait: Wait,
        /// Make the event if it does not exist
        #[arg(long)]
        create: bool,
    },
    /// Set the event: everybody who waits for it goes on
    #[command(after_help = "Example:\n  bursar event set ready --create")]
    Set {
        /// The event
        #[arg(value_parser = name)]
        name: String,
        /// Make the event if it does not exist
        #[arg(long)]
        create: bool,
    },
    /// Clear the event: who comes from now on waits
    #[command(after_help = "Example:\n  bursar event clear ready")]
    Clear {
        /// The event
        #[arg(value_parser = name)]
        name: String,
    },
    /// Print whether the event is set, and its version: how often it was set
    #[command(after_help = "Example:\n  bursar event get ready --json | jq .is_set")]
    Get {
        /// The event
        #[arg(value_parser = name)]
        name: String,
    },
}

pub fn run(args: Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| match args.verb {
        Verb::Wait { name, after, wait, create } => {
            let version = wait_for(&open(manager, &name, create).await?, after, wait).await?;
            output.result(json!({ "event": name, "version": version }), version)
        }
        Verb::Set { name, create } => {
            let changed = open(manager, &name, create).await?.set().await?;
            let said = if changed { "set" } else { "was set already" };
            output.result(json!({ "event": name, "changed": changed }), format_args!("{name}: {said}"))
        }
        Verb::Clear { name } => {
            let changed = open(manager, &name, false).await?.clear().await?;
            let said = if changed { "cleared" } else { "was clear already" };
            output.result(json!({ "event": name, "changed": changed }), format_args!("{name}: {said}"))
        }
        Verb::Get { name } => get(&open(manager, &name, false).await?, output).await,
    })
}

async fn open(manager: &Manager, name: &str, create: bool) -> Result<Event, Failure> {
    super::open(create, async |create| match create {
        true => manager.event(name).open_or_create().await,
        false => manager.event(name).open().await,
    })
    .await
}

async fn wait_for(event: &Event, after: Option<u64>, wait: Wait) -> Result<u64, Failure> {
    let what = || not_in_time(format!("event wait {}: it was not set", event.name()));
    match after {
        Some(version) => event.wait_after_within(version, wait).await?.ok_or_else(what),
        // The version is that of the moment when it was seen to be set, or a later one.
        None if event.wait_within(wait).await? => Ok(event.version().await?),
        None => Err(what()),
    }
}

async fn get(event: &Event, output: &mut Output) -> Result<(), Failure> {
    // Read first: a version that is too old makes nobody miss anything.
    let version = event.version().await?;
    let is_set = event.is_set().await?;
    let said = if is_set { "set" } else { "clear" };
    output
        .result(json!({ "event": event.name(), "is_set": is_set, "version": version }), format_args!("{said}, version {version}"))
}

/// The latch.
pub mod latch {
    use super::*;

    /// Count a latch down, and wait for it to open
    #[derive(clap::Args, Debug)]
    pub struct Args {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        verb: Verb,
    }

    #[derive(clap::Subcommand, Debug)]
    enum Verb {
        /// Count down, and print what is left; at 0 the latch is open for ever
        #[command(after_help = "Examples:\n  bursar objects create latch loaded --count 3\n  bursar latch down loaded")]
        Down {
            /// The latch
            #[arg(value_parser = name)]
            name: String,
            /// By how much
            #[arg(default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
            by: u64,
        },
        /// Wait until the latch is open
        #[command(after_help = "Example:\n  bursar latch wait loaded --wait 5m && ./start")]
        Wait {
            /// The latch
            #[arg(value_parser = name)]
            name: String,
            /// How long to wait: a duration, 0 or forever
            #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "forever")]
            wait: Wait,
        },
        /// Print what is left; 0: it is open
        #[command(after_help = "Example:\n  bursar latch get loaded")]
        Get {
            /// The latch
            #[arg(value_parser = name)]
            name: String,
        },
    }

    pub fn run(args: Args) -> Result<(), Failure> {
        super::super::session(&args.client, Signals::End, async |manager, output| match args.verb {
            Verb::Down { name, by } => {
                let left = manager.latch(&name).open().await?.count_down_by(by).await?;
                output.result(json!({ "latch": name, "left": left }), left)
            }
            Verb::Wait { name, wait } => match manager.latch(&name).open().await?.wait_within(wait).await? {
                true => output.result(json!({ "latch": name, "left": 0 }), format_args!("{name} is open")),
                false => Err(not_in_time(format!("latch wait {name}: it did not open"))),
            },
            Verb::Get { name } => {
                let left = manager.latch(&name).open().await?.count().await?;
                output.result(json!({ "latch": name, "left": left }), left)
            }
        })
    }
}
