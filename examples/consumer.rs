//! Takes jobs from a queue until somebody closes it. Kill it, even with `kill -9`: the jobs it held go to another consumer.
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
use std::{cell::Cell, process::ExitCode, time::Duration};

/// Take jobs from a queue until it is closed
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    access: Access,
    /// The queue
    #[arg(long, default_value = "jobs")]
    queue: String,
    /// How many jobs are handled at a time
    #[arg(long, default_value_t = 8)]
    workers: usize,
    /// How many milliseconds a job takes
    #[arg(long, value_name = "MS", default_value_t = 0)]
    job_ms: u64,
    /// Say nothing of single jobs
    #[arg(long)]
    quiet: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ending("consumer", run(Args::parse()).await)
}

async fn run(args: Args) -> Outcome {
    let manager = args.access.builder()?.connect().await?;
    let queue: Queue<Job> = manager.queue(&args.queue).open_or_create().await?;
    let count = Cell::new(0);
    let handle = async |job: Job| {
        if !args.quiet {
            println!("job {}: {}", job.number, job.text);
        }
        if args.job_ms > 0 {
            tokio::time::sleep(Duration::from_millis(args.job_ms)).await;
        }
        count.set(count.get() + 1);
        Ok::<(), String>(()) // the job is done; an Err would bring it back after a delay
    };
    queue.work(args.workers, handle).await?;
    println!("done consuming {}", count.get());
    manager.close().await;
    Ok(())
}
