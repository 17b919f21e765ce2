//! Parties that meet, wait for the one that prepares the work, and then take turns: a barrier, an event and a semaphore.
//!
//! With the `export` line of a running `bursar serve` pasted into three terminals, in each of them:
//!
//! ```text
//! cargo run --release -p bursar-examples --bin rendezvous -- --parties 3
//! ```
//!
//! Kill one that waits, and the others are told so: the barrier is broken.

use bursar_examples::{Access, Outcome, ending};
use clap::Parser;
use std::process::{ExitCode, id as pid};

/// Meet the other parties, wait for the work to be prepared, and work two at a time
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    access: Access,
    /// How many meet
    #[arg(long, default_value_t = 3)]
    parties: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ending("rendezvous", run(Args::parse()).await)
}

async fn run(args: Args) -> Outcome {
    let manager = args.access.builder()?.connect().await?;
    // Ephemeral: the next meeting begins afresh.
    let meeting = manager.barrier("rendezvous/meeting").parties(args.parties).ephemeral().open_or_create().await?;
    let prepared = manager.event("rendezvous/prepared").ephemeral().open_or_create().await?;
    let seats = manager.semaphore("rendezvous/seats").permits(2).bounded().ephemeral().open_or_create().await?;

    let known = prepared.version().await?;
    let party = meeting.wait().await?;
    println!("process {} is party {} of {}", pid(), party.index + 1, args.parties);
    if party.is_leader() {
        println!("process {} prepares the work", pid());
        prepared.set().await?;
    }
    prepared.wait_after(known).await?; // also if it had been cleared by now

    let seat = seats.acquire().await?; // given back when it is dropped, or when this process dies
    println!("process {} has one of the two seats", pid());
    seat.release().await?;

    meeting.wait().await?;
    println!("process {} has seen all others finish", pid());
    manager.close().await;
    Ok(())
}
