//! A map that several processes share: plain values, counters, changes that do not overwrite each other, keys that expire or go with
//! their process, and a watch that sees every change.
//!
//! With the `export` line of a running `bursar serve` pasted into this terminal:
//!
//! ```text
//! cargo run --release -p bursar-examples --bin kv
//! bursar kv list example/settings
//! ```

use bursar::{
    Fault, Kv, Manager,
    kv::{PutOptions, Since, WatchEvent},
};
use bursar_examples::{Access, Outcome, ending};
use clap::Parser;
use std::{process::ExitCode, time::Duration};

/// Use a key-value store
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    access: Access,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ending("kv", run(Args::parse()).await)
}

async fn run(args: Args) -> Outcome {
    let manager = args.access.builder()?.connect().await?;
    settings(&manager).await?;
    counters(&manager).await?;
    changes(&manager).await?;
    manager.close().await;
    Ok(())
}

/// Values of one type; `put_new` is for whoever comes first.
async fn settings(manager: &Manager) -> Outcome {
    let settings: Kv<String> = manager.kv("example/settings").open_or_create().await?;
    settings.put("color", "blue".to_owned()).await?;
    println!("color is {:?}", settings.get("color").await?);
    match settings.put_new("color", "red".to_owned()).await {
        Err(error) if matches!(error.fault(), Some(Fault::RevisionMismatch { .. })) => println!("color was there already"),
        outcome => println!("color is new, revision {}", outcome?),
    }
    let hour = PutOptions { ttl: Duration::from_secs(3600), ..PutOptions::default() };
    settings.put_with("token", "for an hour".to_owned(), &hour).await?;
    let bound = PutOptions { bind: true, ..PutOptions::default() };
    settings.put_with("presence", "as long as this program runs".to_owned(), &bound).await?;
    println!("keys: {:?}", settings.keys().await?);
    Ok(())
}

/// Two tasks change the same keys, and no change is lost: the broker adds, or `update` asks again.
async fn counters(manager: &Manager) -> Outcome {
    let counters: Kv<i64> = manager.kv("example/counters").open_or_create().await?;
    counters.clear().await?;
    let count = async || {
        for _ in 0..50 {
            counters.incr("added", 1).await?;
            counters.update("updated", |count| Some(count.unwrap_or(0) + 1)).await?;
        }
        Ok::<(), bursar::Error>(())
    };
    tokio::try_join!(count(), count())?;
    println!("counters: {:?}", counters.items().await?);
    Ok(())
}

/// A watch is told of every change since it began, in order, whoever makes it.
async fn changes(manager: &Manager) -> Outcome {
    let kv: Kv<u32> = manager.kv("example/changes").open_or_create().await?;
    let mut watch = kv.watch("", Since::Now).await?;
    kv.put("answer", 41).await?;
    kv.put("answer", 42).await?;
    kv.delete("answer").await?;
    loop {
        match watch.next().await? {
            WatchEvent::Put { key, value, .. } => println!("watch: {key} = {value}"),
            WatchEvent::Delete { key, cause, .. } => {
                println!("watch: {key} is gone ({cause})");
                return Ok(());
            }
            WatchEvent::Reset | WatchEvent::Synced { .. } => {}
        }
    }
}
