//! Puts jobs into a queue that any number of other processes, on this host or others, take them from.
//!
//! With `bursar serve` in a terminal of its own, and the `export` line that it prints pasted into two others:
//!
//! ```text
//! cargo run --release -p bursar-examples --bin consumer
//! cargo run --release -p bursar-examples --bin producer -- --items 1000 --close
//! ```

use bursar::Queue;
use bursar_examples::{Access, Job, Outcome, ending};
use clap::Parser;
use std::process::ExitCode;

/// Put jobs into a queue
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    access: Access,
    /// The queue
    #[arg(long, default_value = "jobs")]
    queue: String,
    /// How many jobs
    #[arg(long, default_value_t = 10)]
    items: u64,
    /// Close the queue behind the last job: consumers finish what is there and end
    #[arg(long)]
    close: bool,
    /// Wait until every job is done
    #[arg(long)]
    join: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ending("producer", run(Args::parse()).await)
}

async fn run(args: Args) -> Outcome {
    let manager = args.access.builder()?.connect().await?;
    let queue: Queue<Job> = manager.queue(&args.queue).open_or_create().await?;
    let jobs = (1..=args.items).map(|number| Job { number, text: format!("page {number}") });
    let ids = queue.put_many(jobs).await?;
    println!("put {} jobs into {:?}", ids.len(), args.queue);
    if args.close {
        queue.close().await?;
    }
    if args.join {
        queue.join().await?;
        println!("all jobs are done");
    }
    manager.close().await;
    Ok(())
}
