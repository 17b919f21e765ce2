//! `bursar semaphore`: a command runs while permits are held; permits as signals.

use super::{Client, HandedOver, Interrupts, Signals, acquired, child, failure::Failure, name, output::Output};
use crate::config;
use bursar::{Manager, Semaphore};
use bursar_proto::Wait;
use serde_json::json;

/// Hold permits while a command runs; add permits, and use them up
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    Run(Run),
    /// Add permits, and print how many are available then
    #[command(after_help = "Example:\n  bursar objects create semaphore signals --permits 0\n  bursar semaphore add signals 2")]
    Add {
        /// The semaphore
        #[arg(value_parser = name)]
        name: String,
        /// How many
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        count: u64,
    },
    /// Wait for a permit and use it up: a signal is received
    #[command(after_help = "Example:\n  bursar semaphore consume signals --wait 10s && echo got one")]
    Consume {
        /// The semaphore
        #[arg(value_parser = name)]
        name: String,
        /// How long to wait: a duration, 0 or forever
        #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "forever")]
        wait: Wait,
    },
}

/// Acquire permits, run a command, give the permits back
///
/// As `bursar lock run`, but that several may hold permits, and there is no BURSAR_FENCE.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar objects create semaphore downloads --permits 3 --bounded
  bursar semaphore run downloads -- curl -O https://example.org/file
  bursar semaphore run memory -n 4 --wait 1m -- ./large-job")]
struct Run {
    /// The semaphore
    #[arg(value_parser = name)]
    name: String,
    /// How many permits
    #[arg(short, long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    number: u64,
    /// How long to wait for them: a duration, 0 or forever
    #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "forever")]
    wait: Wait,
    #[command(flatten)]
    run: child::Args,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { client, verb } = args;
    let handed_over = HandedOver::default();
    let signals = if matches!(verb, Verb::Run(_)) { Signals::Own(&handed_over) } else { Signals::End };
    super::session(&client, signals, async |manager, output| match verb {
        Verb::Run(run) => run.run(&client, manager, handed_over.take()).await,
        Verb::Add { name, count } => add(manager, &name, count, output).await,
        Verb::Consume { name, wait } => {
            open(manager, &name).await?.consume_within(wait).await?;
            output.result(json!({ "consumed": 1 }), format_args!("used up a permit of {name}"))
        }
    })
}

/// How many permits there are is for whoever makes it to say: no verb makes one by the way.
async fn open(manager: &Manager, name: &str) -> Result<Semaphore, Failure> {
    Ok(manager.semaphore(name).open().await?)
}

async fn add(manager: &Manager, name: &str, count: u64, output: &mut Output) -> Result<(), Failure> {
    let available = open(manager, name).await?.add(count).await?;
    output.result(json!({ "added": count, "available": available }), available)
}

impl Run {
    async fn run(self, client: &Client, manager: &Manager, mut interrupts: Interrupts) -> Result<(), Failure> {
        let semaphore = acquired(&mut interrupts, open(manager, &self.name)).await?;
        let permits = acquired(&mut interrupts, semaphore.acquire_many_within(self.number, self.wait)).await?;
        let token = [("BURSAR_TOKEN", permits.token().to_string())];
        let ran = self.run.run(client, &token, &mut interrupts, permits.lost(), || permits.valid_until()).await;
        let ran = child::give_back(ran, permits.release()).await;
        ran.map_err(|failure| failure.context(format!("semaphore run {}", self.name)))
    }
}
