//! `bursar queue get`: takes items to stdout or a file. An item is done only after it was written: what could not be written goes
//! back to the queue.

use super::super::{
    failure::{Exit, Failure},
    output::Output,
    payload,
    progress::Progress,
};
use crate::config;
use bursar::{Fence, Lease, Manager, Queue, Raw};
use bursar_proto::{Fault, Wait};
use futures_util::future::join_all;
use serde_json::json;
use std::{
    fs::File,
    io::{BufWriter, IsTerminal, Write},
    path::PathBuf,
};

/// Take items and print them
///
/// An item leaves the queue when it has been written. MessagePack is printed as JSON, everything else as it is.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar queue get jobs
  bursar queue get jobs -n 10 --wait 5s
  bursar queue get jobs --all -0 -o jobs.bin
  bursar queue get jobs --wait forever --json | jq .value")]
pub struct Args {
    /// The queue
    #[arg(value_parser = super::super::name)]
    name: String,
    /// Take up to so many items, as many as are there
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    number: u64,
    /// Take items until the queue is empty, or closed
    #[arg(long, conflicts_with = "number")]
    all: bool,
    /// How long to wait for the first item (with --all: for each next one): a duration, 0 or forever
    #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "0")]
    wait: Wait,
    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// End items with a zero byte instead of a newline
    #[arg(short = '0', long)]
    null: bool,
    /// Print the bytes as they are stored, MessagePack too
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Items leave the queue only while the lock NAME is held under this token
    #[arg(long, value_name = "NAME:TOKEN")]
    fence: Option<Fence>,
}

const TOGETHER_MAX: u64 = 512;

/// Where items go.
struct Sink<'a> {
    args: &'a Args,
    output: &'a mut Output,
    file: Option<BufWriter<File>>,
}

pub async fn run(args: &Args, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
    let queue = super::fenced(super::open(manager, &args.name, false).await?, args.fence.as_ref());
    let mut sink = Sink::new(args, output)?;
    let bulk = args.all || args.number > TOGETHER_MAX;
    let mut progress = Progress::new(&args.name, bulk && (args.output.is_some() || !std::io::stdout().is_terminal()), None);
    let mut left = if args.all { u64::MAX } else { args.number };
    while left > 0 {
        // With a number the wait is for the first item only: after that, what is there.
        let wait = if args.all || progress.items() == 0 { args.wait } else { Wait::Never };
        let leases = match queue.get_many(left.min(TOGETHER_MAX) as usize, wait).await {
            Ok(leases) => leases,
            Err(error) if ended(&error) && (args.all || progress.items() > 0) => break,
            Err(error) => return Err(error.into()),
        };
        left -= leases.len() as u64;
        let bytes = leases.iter().map(|lease| lease.data.len()).sum();
        take(&queue, &mut sink, leases, &mut progress, bytes).await?;
    }
    Ok(())
}

fn ended(error: &bursar::Error) -> bool {
    matches!(error.fault(), Some(Fault::Empty {} | Fault::TimedOut { .. } | Fault::Closed {}))
}

/// Written first, done then. What was not written when writing fails goes back unharmed.
async fn take(
    queue: &Queue<Raw>,
    sink: &mut Sink<'_>,
    leases: Vec<Lease<Raw>>,
    progress: &mut Progress,
    bytes: usize,
) -> Result<(), Failure> {
    let written = leases.iter().try_for_each(|lease| sink.write(lease)).and_then(|()| sink.flush());
    if let Err(failure) = written {
        join_all(leases.into_iter().map(Lease::release)).await;
        return Err(failure);
    }
    progress.add(leases.len(), bytes);
    let settled = queue.done_many(leases).await;
    settled.map_err(|error| Failure::from(error).context("an item was written, but may come again"))
}

impl Sink<'_> {
    fn new<'a>(args: &'a Args, output: &'a mut Output) -> Result<Sink<'a>, Failure> {
        let open = |path: &PathBuf| {
            let failed = |error| Failure::new(Exit::Failed, format!("{} cannot be written: {error}", path.display()));
            File::create(path).map(BufWriter::new).map_err(failed)
        };
        let file = args.output.as_ref().map(open).transpose()?;
        Ok(Sink { args, output, file })
    }

    fn write(&mut self, lease: &Lease<Raw>) -> Result<(), Failure> {
        let separator = if self.args.null { 0 } else { b'\n' };
        let mut item = match (self.output.json, self.args.raw) {
            (true, _) => document(lease).to_string().into_bytes(),
            (_, true) => lease.data.to_vec(),
            _ => payload::shown(lease).to_vec(),
        };
        item.push(separator);
        match &mut self.file {
            Some(file) => file.write_all(&item).map_err(Failure::output),
            None => self.output.bytes(&item),
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.file {
            Some(file) => file.flush().and_then(|()| file.get_ref().sync_data()).map_err(Failure::output),
            None => self.output.flush(),
        }
    }
}

fn document(lease: &Lease<Raw>) -> serde_json::Value {
    let mut document = payload::object(lease);
    document.insert("id".into(), json!(lease.id()));
    document.insert("attempt".into(), json!(lease.attempt()));
    if !lease.headers().is_empty() {
        document.insert("headers".into(), json!(lease.headers()));
    }
    document.into()
}
