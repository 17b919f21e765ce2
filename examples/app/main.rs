//! What stands behind a web site: a scheduler that asks for thumbnails, workers that make them, and a cleaner that keeps only the newest.
//! `bursar.toml` has them all, `Procfile` the same in short:
//!
//! ```text
//! cargo build --release
//! target/release/bursar up --config examples/app/bursar.toml
//! ```
//!
//! Kill any of them, even with `kill -9`: it is started again, and no photo is lost, forgotten or numbered twice.

use bursar::{Kv, Manager, Queue, kv::PutOptions};
use bursar_examples::{Access, Job, Outcome, ending};
use clap::Parser;
use std::{future::Future, pin::pin, process::ExitCode, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

/// How long the scheduler is taken to be alive after what it last did.
const ALIVE: Duration = Duration::from_secs(30);

/// Be one of the processes of the application
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    role: Role,
}

#[derive(clap::Subcommand)]
enum Role {
    /// Ask for a thumbnail again and again
    Scheduler {
        /// How many milliseconds are between two
        #[arg(long, env = "EVERY_MS", default_value_t = 200)]
        every_ms: u64,
    },
    /// Make thumbnails, one at a time
    Worker,
    /// Remove all thumbnails but the newest
    Cleaner {
        /// How many are kept
        #[arg(long, env = "KEEP", default_value_t = 20)]
        keep: usize,
        /// How many milliseconds are between two looks
        #[arg(long, env = "EVERY_MS", default_value_t = 1000)]
        every_ms: u64,
    },
    /// End with 0 if the scheduler works
    Health,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Args { access, role } = Args::parse();
    ending("app", run(&access, role).await)
}

async fn run(access: &Access, role: Role) -> Outcome {
    let manager = access.builder()?.connect().await?;
    match role {
        Role::Scheduler { every_ms } => schedule(&manager, Duration::from_millis(every_ms)).await?,
        Role::Worker => work(&manager).await?,
        Role::Cleaner { keep, every_ms } => clean(&manager, keep, Duration::from_millis(every_ms)).await?,
        Role::Health => health(&manager).await?,
    }
    manager.close().await;
    Ok(())
}

/// As `bursar.toml` has it: whoever comes first without that file makes the same.
async fn photos(manager: &Manager) -> bursar::Result<Queue<Job>> {
    manager.queue("photos").maxsize(1000).open_or_create().await
}

/// The number goes on where the last scheduler stopped, because the broker counts.
async fn schedule(manager: &Manager, every: Duration) -> Outcome {
    let photos = photos(manager).await?;
    let scheduled = manager.counter("scheduled").open_or_create().await?;
    let state: Kv<String> = manager.kv("state").open_or_create().await?;
    let for_a_while = PutOptions { ttl: ALIVE, ..PutOptions::default() };
    let mut stop = pin!(told_to_stop()?);
    loop {
        let number = scheduled.add(1).await?.unsigned_abs();
        let text = format!("photo-{number}.jpg");
        println!("scheduled {text}");
        photos.put(Job { number, text }).await?; // waits while there are too many
        state.put_with("scheduler", "works".to_owned(), &for_a_while).await?;
        tokio::select! {
            () = sleep(every) => {}
            () = &mut stop => return Ok(()),
        }
    }
}

/// Who is told to stop finishes what it has.
async fn work(manager: &Manager) -> Outcome {
    let photos = photos(manager).await?;
    let thumbnails: Kv<String> = manager.kv("thumbnails").open_or_create().await?;
    let worker = std::env::var("BURSAR_WORKER").unwrap_or_else(|_| "0".into());
    let mut stop = pin!(told_to_stop()?);
    loop {
        let job = tokio::select! {
            job = photos.get() => job?, // a lease: if this process is killed, another worker has the photo
            () = &mut stop => return Ok(()),
        };
        sleep(Duration::from_millis(100)).await; // here is the work
        thumbnails.put(&job.text, format!("made by worker {worker}")).await?;
        println!("resized {}", job.text);
        job.done().await?;
    }
}

async fn clean(manager: &Manager, keep: usize, every: Duration) -> Outcome {
    let thumbnails: Kv<String> = manager.kv("thumbnails").open_or_create().await?;
    let mut stop = pin!(told_to_stop()?);
    loop {
        let mut entries = thumbnails.scan("").await?;
        entries.sort_by_key(|entry| entry.modify_revision);
        let old = entries.len().saturating_sub(keep);
        for entry in &entries[..old] {
            thumbnails.delete(&entry.key).await?;
        }
        if old > 0 {
            println!("removed {old} old thumbnails");
        }
        tokio::select! {
            () = sleep(every) => {}
            () = &mut stop => return Ok(()),
        }
    }
}

/// The scheduler's word is gone after a while, if it does not give it again.
async fn health(manager: &Manager) -> Outcome {
    let state: Kv<String> = manager.kv("state").open_or_create().await?;
    match state.contains("scheduler").await? {
        true => Ok(()),
        false => Err(format!("nothing was scheduled for {ALIVE:?}").into()),
    }
}

/// Ends with the first SIGTERM or ctrl-c.
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
