//! A program that keeps its own broker: it works on a queue without a socket, and lets others connect over one.
//!
//! In one terminal the program, in another what it prints (`export ...`) and then:
//!
//! ```text
//! cargo run --release -p bursar-examples --bin embedded_broker
//! cargo run --release -p bursar-examples --bin producer -- --items 3 --join
//! ```

use bursar::{Address, AuthKey, BoxIo, Manager, Queue};
use bursar_examples::{Job, Outcome, ending};
use bursar_server::{Broker, broker::MemoryConnector, config::Config};
use clap::Parser;
use std::process::ExitCode;

/// Embed a broker, work on its queue, and let others connect, until ctrl-c
#[derive(Parser)]
struct Args {
    /// Where others may connect: unix:///path/to/socket or tcp://host:port [default: a socket in a temporary directory]
    #[arg(long)]
    listen: Option<Address>,
}

#[tokio::main]
async fn main() -> ExitCode {
    ending("embedded_broker", run(Args::parse()).await)
}

async fn run(args: Args) -> Outcome {
    let directory = tempfile::tempdir()?;
    let key_file = directory.path().join("authkey");
    let authkey = AuthKey::generate(&key_file)?;
    let address = args.listen.unwrap_or_else(|| Address::Unix(directory.path().join("bursar.sock")));
    let config = Config { listen: vec![address], ..Config::default() };
    let broker = Broker::start_with_keys(config, vec![authkey.clone()]).await?;

    let manager = connect(broker.connector(), authkey).await?;
    let queue: Queue<Job> = manager.queue("jobs").open_or_create().await?;
    queue.put(Job { number: 0, text: "from within".to_owned() }).await?;

    println!("others may connect:");
    println!("  export BURSAR_ADDRESS={} BURSAR_AUTHKEY_FILE={}", broker.addresses()[0], key_file.display());
    let worker = queue.work(4, async |job: Job| {
        println!("job {}: {}", job.number, job.text);
        Ok::<(), String>(())
    });
    tokio::select! {
        outcome = worker => outcome?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    println!("stopping");
    manager.close().await;
    broker.stop().await?;
    Ok(())
}

/// A session without a socket: the bytes go through memory. The key is proved all the same.
async fn connect(connector: MemoryConnector, authkey: AuthKey) -> bursar::Result<Manager> {
    let connector = move || {
        let connector = connector.clone();
        async move { Ok(Box::new(connector.connect().await?) as BoxIo) }
    };
    Manager::builder().connector(connector).authkey(authkey).connect().await
}
