//! `bursar barrier`: a point that several pass together.

use super::{Client, Signals, failure::Failure, name, output::Output};
use crate::config;
use bursar::{Barrier, Manager};
use bursar_proto::Wait;
use serde_json::json;

/// Wait for others at a barrier
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Wait until all parties are there, and print the place in the order of arrival: 0 came first
    ///
    /// Who is interrupted, dies or has waited too long breaks the barrier for all; exit code 7: it is broken.
    #[command(after_help = "Examples:\n  bursar objects create barrier step --parties 3\n  bursar barrier wait step --wait 5m")]
    Wait {
        /// The barrier
        #[arg(value_parser = name)]
        name: String,
        /// How long to wait: a duration, 0 or forever
        #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "forever")]
        wait: Wait,
    },
    /// Break the barrier: nobody passes until it is reset
    #[command(after_help = "Example:\n  bursar barrier abort step")]
    Abort {
        /// The barrier
        #[arg(value_parser = name)]
        name: String,
    },
    /// Make the barrier whole and empty
    #[command(after_help = "Example:\n  bursar barrier reset step")]
    Reset {
        /// The barrier
        #[arg(value_parser = name)]
        name: String,
    },
    /// Print how many wait, and whether the barrier is broken
    #[command(after_help = "Example:\n  bursar barrier get step --json | jq .waiting")]
    Get {
        /// The barrier
        #[arg(value_parser = name)]
        name: String,
    },
}

pub fn run(args: Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| match args.verb {
        Verb::Wait { name, wait } => {
            let party = open(manager, &name).await?.wait_within(wait).await?;
            output.result(json!({ "barrier": name, "index": party.index, "generation": party.generation }), party.index)
        }
        Verb::Abort { name } => {
            open(manager, &name).await?.abort().await?;
            let said = format_args!("{name} is broken until `bursar barrier reset {name}`");
            output.result(json!({ "aborted": name }), said)
        }
        Verb::Reset { name } => {
            open(manager, &name).await?.reset().await?;
            output.result(json!({ "reset": name }), format_args!("{name} is whole and empty"))
        }
        Verb::Get { name } => get(&open(manager, &name).await?, output).await,
    })
}

async fn open(manager: &Manager, name: &str) -> Result<Barrier, Failure> {
    Ok(manager.barrier(name).open().await?)
}

async fn get(barrier: &Barrier, output: &mut Output) -> Result<(), Failure> {
    let state = barrier.state().await?;
    let broken = if state.is_broken { ", broken" } else { "" };
    let document = json!({
        "barrier": barrier.name(), "parties": state.parties, "waiting": state.waiting, "broken": state.is_broken,
        "generation": state.generation,
    });
    let (waiting, parties, generation) = (state.waiting, state.parties, state.generation);
    output.result(document, format_args!("{waiting} of {parties} are there, generation {generation}{broken}"))
}
