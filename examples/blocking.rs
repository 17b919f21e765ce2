//! The SDK without `async`: threads that share one session. Everything has the same name as on the async side.
//!
//! With the `export` line of a running `bursar serve` pasted into this terminal:
//!
//! ```text
//! cargo run --release -p bursar-examples --bin blocking
//! cargo run --release -p bursar-examples --bin blocking -- --threads 8 --items 10000
//! ```

use bursar::blocking::{Kv, Manager, Queue};
use bursar_examples::{Access, Outcome, ending};
use clap::Parser;
use std::{process::ExitCode, thread};

/// Use a queue and a key-value store from threads
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    access: Access,
    /// How many threads work
    #[arg(long, default_value_t = 4)]
    threads: usize,
    /// How many items
    #[arg(long, default_value_t = 1000)]
    items: u64,
}

fn main() -> ExitCode {
    ending("blocking", run(&Args::parse()))
}

fn run(args: &Args) -> Outcome {
    let manager = Manager::from(bursar::blocking::block_on(args.access.builder()?.connect())?);
    // Objects that go with this program: every run begins afresh, and two at once do not meet.
    let name = format!("example/numbers/{}", manager.session_id());
    let numbers: Queue<u64> = manager.queue(&name).ephemeral().create()?;
    let sums: Kv<i64> = manager.kv(&format!("example/sums/{}", manager.session_id())).ephemeral().create()?;
    thread::scope(|scope| {
        let adder = scope.spawn(|| {
            numbers.work(args.threads, |number| sums.incr("sum", number as i64).map(drop)) // an error is retried
        });
        numbers.put_many(1..=args.items)?;
        numbers.close()?;
        numbers.join()?;
        adder.join().expect("a worker does not panic")
    })?;
    println!("the sum of 1 to {} is {}", args.items, sums.get("sum")?.unwrap_or(0));
    manager.close();
    Ok(())
}
