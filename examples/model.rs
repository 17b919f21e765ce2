//! A model that several processes serve under one name. The broker gives each question to the one with the most to spare; when a process
//! is killed in the middle of its work, what it had goes to the others, because answering twice does no harm.
//!
//! With the `export` line of a running `bursar serve` pasted into this terminal:
//!
//! ```text
//! cargo run --release -p bursar-examples --bin model
//! cargo run --release -p bursar-examples --bin model -- --workers 8 --questions 1000
//! ```

use bursar::Manager;
use bursar_examples::{Access, Outcome, ending, once_more};
use clap::Parser;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{collections::BTreeMap, process::ExitCode, sync::Arc, time::Duration};

/// Ask a model that several processes serve, of which one is killed
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    access: Access,
    /// How many processes serve the model
    #[arg(long, default_value_t = 3)]
    workers: usize,
    /// How many questions it is asked
    #[arg(long, default_value_t = 300)]
    questions: u64,
    /// Be one of these processes
    #[arg(long, hide = true)]
    worker: Option<usize>,
}

/// A model of something.
#[bursar::shared]
trait Model {
    /// Whether a number is prime, and which process says so.
    #[shared(idempotent)]
    async fn is_prime(&self, number: u64) -> (bool, usize);
}

struct Sieve {
    worker: usize,
}

impl Model for Sieve {
    async fn is_prime(&self, number: u64) -> (bool, usize) {
        // What a real model would need a graphics card for.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let has_divisor = (2..).take_while(|divisor| divisor * divisor <= number).any(|divisor| number.is_multiple_of(divisor));
        (number > 1 && !has_divisor, self.worker)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ending("model", run(Args::parse()).await)
}

async fn run(args: Args) -> Outcome {
    let manager = args.access.builder()?.connect().await?;
    match args.worker {
        Some(worker) => serve(&manager, worker).await,
        None => ask(&manager, &args).await,
    }
}

/// One question at a time: so the load is shared by who is free.
async fn serve(manager: &Manager, worker: usize) -> Outcome {
    let serving = manager.serve("model", Arc::new(Sieve { worker })).capacity(1).start().await?;
    match serving.ended().await {
        Some(error) => Err(error.to_string().into()),
        None => Ok(()),
    }
}

async fn ask(manager: &Manager, args: &Args) -> Outcome {
    let mut workers =
        (0..args.workers).map(|worker| once_more(&["--worker", &worker.to_string()])).collect::<Result<Vec<_>, _>>()?;
    let model: &ModelClient = &manager.object("model").wait_for_provider().open_as().await?;
    let ask = async |number| model.is_prime(number).await;
    // When some are answered, the first process is killed.
    let first: Vec<_> = stream::iter(0..args.questions / 3).map(ask).buffer_unordered(32).try_collect().await?;
    if args.workers > 1 {
        println!("killing worker 0");
        workers[0].start_kill()?;
    }
    let rest: Vec<_> = stream::iter(args.questions / 3..args.questions).map(ask).buffer_unordered(32).try_collect().await?;
    let mut answers = BTreeMap::new();
    for (_, worker) in first.iter().chain(&rest) {
        *answers.entry(worker).or_insert(0) += 1;
    }
    for (worker, count) in answers {
        println!("worker {worker} has answered {count}");
    }
    let primes = first.iter().chain(&rest).filter(|(is_prime, _)| *is_prime).count();
    let about = model.as_object().describe().await?;
    println!("{primes} of the numbers below {} are prime; {} calls were given again", args.questions, about.given_again);
    Ok(())
}
