//! A cache that is never stale for long: workers read their configuration from a mirror, which costs nothing, while another process
//! changes it; a callback tells them what became different.
//!
//! ```text
//!   operator ── put ──► "mirror/config" ──(changes)──► mirror and callback in each worker
//! ```
//!
//! With the `export` line of a running `bursar serve` pasted into this terminal:
//!
//! ```text
//! cargo run --release -p bursar-examples --bin mirror
//! bursar kv watch mirror/config
//! ```

use bursar::{
    Kv, Manager, Wait,
    kv::{Keys, WatchEvent},
};
use bursar_examples::{Access, Outcome, ending, once_more};
use clap::Parser;
use std::process::ExitCode;

/// Read a configuration from mirrors while it changes
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    access: Access,
    /// How many processes read the configuration
    #[arg(long, default_value_t = 2)]
    workers: u64,
    /// Be one of them (this program starts itself so)
    #[arg(long, hide = true)]
    worker: Option<u64>,
}

/// The last change: workers stop when they see it.
const STOP: &str = "stop";
const THREADS: &str = "threads";
const READS: u64 = 1_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    ending("mirror", run(args).await)
}

async fn run(args: Args) -> Outcome {
    let manager = args.access.builder()?.connect().await?;
    match args.worker {
        Some(number) => work(&manager, number).await?,
        None => operate(&manager, args.workers).await?,
    }
    manager.close().await;
    Ok(())
}

/// Changes the configuration once all workers have a mirror of it.
async fn operate(manager: &Manager, workers: u64) -> Outcome {
    let config: Kv<u64> = manager.kv("mirror/config").open_or_create().await?;
    config.clear().await?;
    config.put(THREADS, 1).await?;
    let ready = manager.latch("mirror/ready").count(workers).ephemeral().create().await?;
    let numbers: Vec<String> = (1..=workers).map(|number| number.to_string()).collect();
    let mut children = numbers.iter().map(|number| once_more(&["--worker", number])).collect::<Result<Vec<_>, _>>()?;
    ready.wait().await?;
    for threads in [2, 4, 8] {
        config.put(THREADS, threads).await?;
    }
    let revision = config.put(STOP, 1).await?;
    println!("the configuration is final at revision {revision}");
    for child in &mut children {
        if !child.wait().await?.success() {
            return Err("a worker has failed".into());
        }
    }
    Ok(())
}

/// Reads as often as it likes; the broker is not asked.
async fn work(manager: &Manager, number: u64) -> Outcome {
    let config: Kv<u64> = manager.kv("mirror/config").open().await?;
    let mirror = config.mirror("").await?;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let mut stop = Some(stop);
    let heard = move |change: &WatchEvent<u64>| match change {
        WatchEvent::Put { key, value, .. } if key == THREADS => println!("worker {number}: threads = {value} from now on"),
        WatchEvent::Put { key, revision, .. } if key == STOP => drop(stop.take().map(|stop| stop.send(*revision))),
        _ => {}
    };
    let _subscription = config.on_change(Keys::all(), heard).await?;
    manager.latch("mirror/ready").open().await?.count_down().await?;
    let revision = stopped.await?;
    // The callback and the mirror are told by watches of their own, and either may be the first to know.
    mirror.wait_for(revision, Wait::Forever).await?;
    let sum: u64 = (0..READS).map(|_| mirror.get(THREADS).unwrap_or(0)).sum();
    println!("worker {number}: read threads = {} a million times without a question", sum / READS);
    Ok(())
}
