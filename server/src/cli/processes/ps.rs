//! `bursar ps`: how the processes are.

use super::{Home, listed, open, table};
use crate::cli::{
    self, Signals,
    failure::Failure,
    name,
    output::{Output, span, unix_ms},
};
use bursar::processes::{Exit, Process, SuperviseClient, Worker};
use serde_json::{Value, json};
use std::time::SystemTime;

/// Show the processes that the broker keeps, and how they are
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bursar ps\n  bursar ps web --json | jq '.[0].workers[].pid'")]
pub struct Args {
    #[command(flatten)]
    home: Home,
    /// Only these; without: all
    #[arg(value_parser = name)]
    name: Vec<String>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    cli::session(&args.home.client()?, Signals::End, async |manager, output| {
        let supervise = open(manager).await?;
        show(&supervise, &args.name, output).await
    })
}

/// The processes as they are now.
pub async fn show(supervise: &SuperviseClient, names: &[String], output: &mut Output) -> Result<(), Failure> {
    let processes = listed(supervise, names, true).await?;
    match output.json {
        true => output.document(&processes.iter().map(document).collect()),
        false => {
            let cpu = |_: &Process, worker: &Worker| Some(span(worker.cpu_ms));
            output.table(&table::HEADER, &table::rows(&processes, unix_ms(SystemTime::now()), cpu))
        }
    }
}

pub fn document(process: &Process) -> Value {
    let Process { name, command, wanted, waits_for, workers } = process;
    let workers: Vec<Value> = workers.iter().map(worker).collect();
    json!({ "name": name, "command": command, "wanted": wanted, "waits_for": waits_for, "workers": workers })
}

fn worker(of: &Worker) -> Value {
    let Worker {
        number,
        state: _,
        healthy,
        pid,
        started_ms,
        restarts,
        last_exit,
        cpu_ms,
        memory_bytes,
        processes,
        log_dropped_bytes,
        status,
    } = of;
    json!({
        "number": number, "state": of.state, "healthy": healthy, "pid": pid, "started_ms": started_ms, "restarts": restarts,
        "last_exit": last_exit.as_ref().map(exit), "cpu_ms": cpu_ms, "memory_bytes": memory_bytes, "processes": processes,
        "log_dropped_bytes": log_dropped_bytes, "status": status,
    })
}

fn exit(exit: &Exit) -> Value {
    let Exit { code, signal, core, out_of_memory, expected, text, last_lines, pid, at_ms, held } = exit;
    json!({
        "code": code, "signal": signal, "core": core, "out_of_memory": out_of_memory, "expected": expected, "text": text,
        "last_lines": last_lines, "pid": pid, "at_ms": at_ms, "held": held,
    })
}
