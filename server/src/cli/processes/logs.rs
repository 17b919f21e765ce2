//! `bursar logs`: what workers write.

use super::{Home, broken, lines::Style, listed, open};
use crate::cli::{self, Signals, failure::Failure, name, output::Output};
use bursar::{
    CallError, Fault, Manager,
    processes::{Line, Source},
};
use futures_util::StreamExt;
use serde_json::json;
use std::time::SystemTime;

/// Lines that are formatted and written together, where so many are there.
const BATCH: usize = 256;

/// Show what the processes have written, and with -f what they write from now on
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bursar logs web -n 20\n  bursar logs -f\n  bursar logs -f --json | jq -r .text")]
pub struct Args {
    #[command(flatten)]
    home: Home,
    /// Of these; without: of all
    #[arg(value_parser = name)]
    name: Vec<String>,
    /// Go on with what is written from now on
    #[arg(short, long)]
    follow: bool,
    /// At most so many lines of each output, as far as they are kept
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 100)]
    lines: u32,
    #[command(flatten)]
    style: Style,
}

pub fn run(args: Args) -> Result<(), Failure> {
    cli::session(&args.home.client()?, Signals::End, async |manager, output| logs(manager, output, args).await)
}

async fn logs(manager: &Manager, output: &mut Output, args: Args) -> Result<(), Failure> {
    let supervise = open(manager).await?;
    let mut lines = args.style.lines();
    lines.expect(&listed(&supervise, &args.name, false).await?);
    let mut written = supervise.logs(args.name, args.lines, args.follow).ready_chunks(BATCH);
    let unread = cli::output::unread();
    tokio::pin!(unread);
    loop {
        let batch = tokio::select! {
            batch = written.next() => batch,
            () = &mut unread => return Err(Failure::enough()),
        };
        let Some(batch) = batch else { return Ok(()) };
        for line in batch {
            let line = match line {
                Err(CallError::Broker(error)) if matches!(error.fault(), Some(Fault::ShuttingDown {})) => return Ok(()),
                line => line.map_err(broken)?,
            };
            match output.json {
                true => output.document(&document(&line))?,
                false => output.bytes(lines.output(&line, SystemTime::now()).as_bytes())?,
            }
        }
        output.flush()?;
    }
}

fn document(line: &Line) -> serde_json::Value {
    let Line { process, worker, source, text, missed_bytes } = line;
    let source = match source {
        Source::Stdout => "stdout",
        Source::Stderr => "stderr",
    };
    json!({ "process": process, "worker": worker, "source": source, "text": text, "missed_bytes": missed_bytes })
}
