//! Several processes elect a leader with a lock. The leader writes under its fence; it is killed, and another one takes over.
//!
//! What the dead leader may still have under way cannot do any harm: its fence is stale. With the `export` line of a running
//! `bursar serve` pasted into this terminal:
//!
//! ```text
//! cargo run --release -p bursar-examples --bin leader -- --candidates 4
//! ```

use bursar::{
    Fault, Fence, Kv,
    kv::{Since, WatchEvent},
};
use bursar_examples::{Access, Outcome, ending, once_more};
use clap::Parser;
use std::{
    collections::HashMap,
    process::{ExitCode, id as pid},
};
use tokio::process::Child;

/// Elect a leader among processes, and kill each leader until one is left
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    access: Access,
    /// How many processes there are
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    candidates: u32,
    /// The election that this process takes part in
    #[arg(long, hide = true)]
    election: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.election {
        Some(election) => lead(&args, election).await,
        None => watch(&args).await,
    };
    ending("leader", outcome)
}

async fn lead(args: &Args, election: &str) -> Outcome {
    let manager = args.access.builder()?.connect().await?;
    let lock = manager.lock(&format!("{election}/lock")).open().await?;
    let state: Kv<String> = manager.kv(&format!("{election}/state")).open().await?;

    let guard = lock.acquire().await?; // first come, first served
    // Every write through this handle happens only while the lock is held under this very grant.
    let mine = state.fenced(&guard.fence());
    mine.put("fence", guard.fence().to_string()).await?;
    mine.put("leader", pid().to_string()).await?;
    guard.lost().await; // here is the leader's work; it ends when the session does
    Err("the lock was lost".into())
}

async fn watch(args: &Args) -> Outcome {
    let manager = args.access.builder()?.connect().await?;
    let election = format!("election/{}", manager.session_id());
    manager.lock(&format!("{election}/lock")).ephemeral().create().await?;
    let state: Kv<String> = manager.kv(&format!("{election}/state")).ephemeral().create().await?;
    let mut candidates: HashMap<String, Child> = HashMap::new();
    for _ in 0..args.candidates {
        let candidate = once_more(&["--election", &election])?;
        candidates.insert(candidate.id().unwrap_or_default().to_string(), candidate);
    }

    let mut watch = state.watch("leader", Since::Start).await?;
    let mut former: Option<Fence> = None;
    while !candidates.is_empty() {
        let WatchEvent::Put { value: leader, .. } = watch.next().await? else { continue };
        let fence: Fence = state.get("fence").await?.ok_or("a leader without a fence")?.parse()?;
        println!("process {leader} leads");
        if let Some(former) = former.replace(fence) {
            refused(&state, &former).await?;
        }
        let mut candidate = candidates.remove(&leader).ok_or("a leader that nobody started")?;
        candidate.kill().await?; // SIGKILL: it can tell nobody
    }
    println!("no candidates are left");
    manager.close().await;
    Ok(())
}

/// As if the former leader had sent this before it died, and it arrived only now.
async fn refused(state: &Kv<String>, former: &Fence) -> Outcome {
    match state.fenced(former).put("leader", "a dead one".to_owned()).await {
        Err(error) if matches!(error.fault(), Some(Fault::StaleToken { .. })) => {
            println!("what its predecessor writes is refused");
            Ok(())
        }
        other => Err(format!("expected StaleToken, got {other:?}").into()),
    }
}
