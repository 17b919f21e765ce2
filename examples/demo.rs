//! The classic scenario with real, unrelated processes: a broker, a producer, consumers, and a terminator that ends them.
//!
//! ```text
//! cargo run --release --bin demo
//! cargo run --release --bin demo -- --tcp --items 100000 --consumers 3 --payload 1000
//! ```
//!
//! The processes know nothing of each other, only the broker's address and key, from their environment:
//!
//! ```text
//! producer ──put_many──► "jobs" ──work──► consumers ──incr──► "tally"
//!     └──────────────── "produced" ───────► "tally" ──watch──► terminator: joins "jobs", then closes it
//! ```

use bursar::{
    AuthKey, Kv, Manager, Queue,
    kv::{Since, WatchEvent},
};
use bursar_examples::{Job, Outcome, ending};
use clap::{Parser, ValueEnum};
use futures_util::future::try_join_all;
use std::{
    cell::Cell,
    error::Error,
    io::{self, Write},
    path::Path,
    process::{ExitCode, ExitStatus, Stdio, id as pid},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

const QUEUE: &str = "jobs";
/// A key-value store: how many jobs were put and handled, and the sum of the numbers of the handled ones.
const TALLY: &str = "tally";
const PRODUCED: &str = "produced";
const CONSUMED: &str = "consumed";
const SUM: &str = "sum";

/// Jobs that one consumer handles at a time.
const WORKERS: usize = 256;

/// Run a broker, a producer, consumers and a terminator, each as a process of its own
#[derive(Parser)]
struct Args {
    /// Talk over TCP on loopback instead of a Unix socket
    #[arg(long)]
    tcp: bool,
    /// How many items the producer puts
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(..=1_000_000_000))]
    items: u64,
    /// How many consumer processes there are
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    consumers: u16,
    /// How large each item is
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    payload: u32,
    /// Which of the processes this one is
    #[arg(long, hide = true)]
    role: Option<Role>,
}

/// A client process of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    Producer,
    Consumer,
    Terminator,
}

fn main() -> ExitCode {
    // The broker's process is `bursar serve`: the same arguments and the same code.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return bursar_server::cli::run();
    }
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be started");
    runtime.block_on(async {
        match args.role {
            None => ending("demo", demo(&args).await),
            Some(Role::Producer) => ending("producer", produce(&args).await),
            Some(Role::Consumer) => ending("consumer", consume().await),
            Some(Role::Terminator) => ending("terminator", terminate().await),
        }
    })
}

async fn produce(args: &Args) -> Outcome {
    let manager = Manager::from_env().await?;
    let queue: Queue<Job> = manager.queue(QUEUE).open().await?;
    let text = "x".repeat(args.payload as usize);
    queue.put_many((1..=args.items).map(|number| Job { number, text: text.clone() })).await?;
    say("producer", "done producing")?;
    let tally: Kv<i64> = manager.kv(TALLY).open().await?;
    tally.put(PRODUCED, args.items as i64).await?;
    manager.close().await;
    Ok(())
}

async fn consume() -> Outcome {
    let manager = Manager::from_env().await?;
    let queue: Queue<Job> = manager.queue(QUEUE).open().await?;
    let (count, sum) = (Cell::new(0), Cell::new(0));
    let handle = async |job: Job| {
        count.set(count.get() + 1);
        sum.set(sum.get() + job.number as i64);
        Ok::<(), String>(())
    };
    queue.work(WORKERS, handle).await?;
    let tally: Kv<i64> = manager.kv(TALLY).open().await?;
    tally.incr(CONSUMED, count.get()).await?;
    tally.incr(SUM, sum.get()).await?;
    say("consumer", &format!("the queue is closed; handled {}", count.get()))?;
    manager.close().await;
    Ok(())
}

/// Ends the consumers once everything that was put is done: they see a closed queue.
async fn terminate() -> Outcome {
    let manager = Manager::from_env().await?;
    let tally: Kv<i64> = manager.kv(TALLY).open().await?;
    let mut watch = tally.watch(PRODUCED, Since::Start).await?;
    while !matches!(watch.next().await?, WatchEvent::Put { .. }) {}
    let queue: Queue<Job> = manager.queue(QUEUE).open().await?;
    queue.join().await?;
    queue.close().await?;
    say("terminator", "everything is done; closed the queue")?;
    manager.close().await;
    Ok(())
}

/// A line that other processes' lines do not cut.
fn say(who: &str, what: &str) -> io::Result<()> {
    io::stdout().write_all(format!("[{who} {}] {what}\n", pid()).as_bytes())
}

/// Processes that were started, and are killed if this is dropped before they ended.
#[derive(Default)]
struct Processes(Vec<(String, Child)>);

impl Processes {
    fn start(&mut self, name: &str, command: &mut Command) -> Outcome<()> {
        let started = command.stdin(Stdio::null()).kill_on_drop(true).spawn();
        let child = started.map_err(|error| format!("the {name} cannot be started: {error}"))?;
        self.0.push((name.to_owned(), child));
        Ok(())
    }

    /// Waits until all of them have ended well; an error names the first that did not.
    async fn succeed(&mut self) -> Outcome {
        let ends = self.0.iter_mut().map(async |(name, child)| succeeded(name, child.wait().await));
        try_join_all(ends).await.map(drop)
    }

    /// Kills what still runs and waits until it is gone.
    async fn kill(&mut self) {
        for (name, child) in self.0.iter_mut().filter(|(_, child)| child.id().is_some()) {
            if let Err(error) = child.kill().await {
                eprintln!("demo: the {name} cannot be killed: {error}");
            }
        }
    }
}

fn print_tree(groups: &[&Processes]) {
    println!("demo (pid {})", pid());
    let processes: Vec<_> = groups.iter().flat_map(|group| &group.0).collect();
    for (at, (name, child)) in processes.iter().enumerate() {
        let branch = if at + 1 == processes.len() { "└─" } else { "├─" };
        println!("{branch} {name} (pid {})", child.id().unwrap_or_default());
    }
}

fn succeeded(name: &str, ended: io::Result<ExitStatus>) -> Outcome {
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the {name} failed: {status}").into()),
        Err(error) => Err(format!("the {name} cannot be waited for: {error}").into()),
    }
}

async fn demo(args: &Args) -> Outcome {
    let directory = tempfile::tempdir()?;
    let (mut broker, mut clients) = (Processes::default(), Processes::default());
    let outcome = tokio::select! {
        outcome = scenario(args, directory.path(), &mut broker, &mut clients) => outcome,
        signal = interrupted() => Err(signal),
    };
    if outcome.is_err() {
        clients.kill().await;
        broker.kill().await;
    }
    outcome
}

async fn interrupted() -> Box<dyn Error> {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return "signals cannot be received".into();
    };
    tokio::select! {
        _ = terminate.recv() => "terminated".into(),
        _ = interrupt.recv() => "interrupted".into(),
    }
}

async fn scenario(args: &Args, directory: &Path, broker: &mut Processes, clients: &mut Processes) -> Outcome {
    let key_file = directory.join("authkey");
    let authkey = AuthKey::generate(&key_file)?;
    let address = start_broker(args, broker, directory, &key_file).await?;
    println!("broker at {address}");
    let manager = Manager::connect(&address, authkey).await?;
    manager.queue::<Job>(QUEUE).create().await?;
    let tally: Kv<i64> = manager.kv(TALLY).create().await?;

    let start = Instant::now();
    let consumers = std::iter::repeat_n(Role::Consumer, args.consumers.into());
    for role in [Role::Producer].into_iter().chain(consumers).chain([Role::Terminator]) {
        start_client(args, role, clients, &address, &key_file)?;
    }
    print_tree(&[broker, clients]);
    tokio::select! {
        ended = clients.succeed() => ended?,
        ended = broker.succeed() => ended.and(Err("the broker ended too early".into()))?,
    }
    let elapsed = start.elapsed();

    check(args, &tally).await?;
    println!("done consuming {}", args.items);
    println!("{:.3} s, {:.0} items/s, the start of the processes included", elapsed.as_secs_f64(), rate(args.items, elapsed));
    manager.close().await;
    stop_broker(broker).await
}

/// Starts `bursar serve` and waits until it says where it listens.
async fn start_broker(args: &Args, broker: &mut Processes, directory: &Path, key_file: &Path) -> Outcome<String> {
    let socket = format!("unix://{}", directory.join("bursar.sock").display());
    let listen = if args.tcp { "tcp://127.0.0.1:0" } else { &socket };
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "--log-level", "warn", "--listen", listen, "--authkey-file"]).arg(key_file);
    command.env_remove("BURSAR_CONFIG").stdout(Stdio::piped());
    broker.start("broker", &mut command)?;
    let output = broker.0[0].1.stdout.take().expect("it was piped");
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = line.strip_prefix("address ") {
            return Ok(address.trim().to_owned());
        }
    }
    Err("the broker ended before it listened".into())
}

fn start_client(args: &Args, role: Role, clients: &mut Processes, address: &str, key_file: &Path) -> Outcome {
    let name = role.to_possible_value().expect("no role is skipped").get_name().to_owned();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--role", &name, "--items", &args.items.to_string(), "--payload", &args.payload.to_string()]);
    command.env("BURSAR_ADDRESS", address).env("BURSAR_AUTHKEY_FILE", key_file).env_remove("BURSAR_KEY_ID");
    clients.start(&name, &mut command)
}

/// Every item was handled, and none twice.
async fn check(args: &Args, tally: &Kv<i64>) -> Outcome {
    let expected = (args.items as i64, (args.items * (args.items + 1) / 2) as i64);
    let counted = (tally.get(CONSUMED).await?.unwrap_or(0), tally.get(SUM).await?.unwrap_or(0));
    match counted == expected {
        true => Ok(()),
        false => Err(format!("the consumers counted {counted:?} (items, sum of numbers), expected {expected:?}").into()),
    }
}

fn rate(items: u64, elapsed: Duration) -> f64 {
    items as f64 / elapsed.as_secs_f64()
}

/// As an operator would: SIGTERM, and it ends by itself.
async fn stop_broker(broker: &mut Processes) -> Outcome {
    let id = broker.0[0].1.id().ok_or("the broker ended too early")?;
    let pid = rustix::process::Pid::from_raw(id as i32).expect("a process has a positive id");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    broker.succeed().await
}
