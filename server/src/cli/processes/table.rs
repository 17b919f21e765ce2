//! Processes as a table: what `ps` prints, and `top` shows. Nothing is asked here.

use super::lines::{size, who};
use crate::cli::output::{cell, span};
use bursar::processes::{Exit, Process, Worker, WorkerState};

pub const HEADER: [&str; 8] = ["NAME", "STATE", "PID", "UPTIME", "RESTARTS", "CPU", "MEM", "NOTE"];

/// What stands where there is nothing to say.
const NOTHING: &str = "-";

/// A row for each worker; for a process that has none, one for itself. `cpu`: what is shown of a worker's processor time.
pub fn rows(processes: &[Process], now_ms: u64, cpu: impl Fn(&Process, &Worker) -> Option<String>) -> Vec<Vec<String>> {
    let of_process = |process: &Process| match process.workers.is_empty() {
        true => vec![row_without_worker(process)],
        false => process.workers.iter().map(|worker| row(process, worker, now_ms, cpu(process, worker))).collect(),
    };
    processes.iter().flat_map(of_process).collect()
}

fn row_without_worker(process: &Process) -> Vec<String> {
    let state = match process.wanted {
        true if process.waits_for.is_empty() => NOTHING,
        true => "waiting",
        false => "stopped",
    };
    let mut row = vec![NOTHING.to_owned(); HEADER.len()];
    row[0].clone_from(&process.name);
    row[1] = state.to_owned();
    row[HEADER.len() - 1] = cell(&waits(process).unwrap_or_else(|| "no workers".into()));
    row
}

fn row(process: &Process, worker: &Worker, now_ms: u64, cpu: Option<String>) -> Vec<String> {
    let runs = worker.pid.is_some();
    let if_runs = |text: String| if runs { text } else { NOTHING.to_owned() };
    vec![
        who(&process.name, Some(worker.number)),
        state_in(process, worker).to_owned(),
        worker.pid.map_or_else(|| NOTHING.into(), |pid| pid.to_string()),
        if_runs(span(now_ms.saturating_sub(worker.started_ms))),
        worker.restarts.to_string(),
        if_runs(cpu.unwrap_or_else(|| NOTHING.into())),
        if_runs(size(worker.memory_bytes)),
        cell(&note(process, worker, now_ms)),
    ]
}

/// One word for how a worker of this process is: one that is to be up, and waits for something, has not stopped.
pub fn state_in(process: &Process, worker: &Worker) -> &'static str {
    match worker.state {
        WorkerState::Stopped if process.wanted && !process.waits_for.is_empty() => "waiting",
        _ => state(worker),
    }
}

/// One word for how a worker is.
pub fn state(worker: &Worker) -> &'static str {
    match worker.state {
        WorkerState::Stopped => "stopped",
        WorkerState::Starting => "starting",
        WorkerState::Ready if !worker.healthy => "unhealthy",
        WorkerState::Ready => "ready",
        WorkerState::Stopping => "stopping",
        WorkerState::Waiting => "waiting",
        WorkerState::Finished => "finished",
        WorkerState::Spent => "spent",
    }
}

/// What one wants to know first: what it waits for, what it says of itself, how it ended last, what of its output is lost.
fn note(process: &Process, worker: &Worker, now_ms: u64) -> String {
    let status = Some(worker.status.clone()).filter(|status| !status.is_empty());
    let exit = worker.last_exit.as_ref().map(|exit| last_exit(exit, now_ms));
    let dropped = match worker.log_dropped_bytes {
        0 => None,
        bytes => Some(format!("{} are missing in its log", size(bytes))),
    };
    let notes: Vec<String> = [waits(process), status, exit, dropped].into_iter().flatten().collect();
    if notes.is_empty() { NOTHING.into() } else { notes.join("; ") }
}

fn waits(process: &Process) -> Option<String> {
    (!process.waits_for.is_empty()).then(|| format!("waits for {}", process.waits_for.join(", ")))
}

fn last_exit(exit: &Exit, now_ms: u64) -> String {
    format!("{} {} ago", exit.text, span(now_ms.saturating_sub(exit.at_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn process(name: &str, workers: Vec<Worker>) -> Process {
        Process { name: name.into(), wanted: true, workers, ..Process::default() }
    }

    fn ready(number: u32) -> Worker {
        let (pid, started_ms, memory_bytes) = (Some(40 + number), NOW - 200_000, 12 << 20);
        Worker { number, state: WorkerState::Ready, healthy: true, pid, started_ms, memory_bytes, ..Worker::default() }
    }

    #[test]
    fn every_worker_has_a_row() {
        let exit = Exit { text: "was killed by SIGSEGV".into(), at_ms: NOW - 3_000, ..Exit::default() };
        let failed = Worker { number: 1, state: WorkerState::Waiting, restarts: 3, last_exit: Some(exit), ..Worker::default() };
        let rows = rows(&[process("web", vec![ready(0), failed])], NOW, |_, _| Some("1s".into()));
        assert_eq!(rows[0], ["web/0", "ready", "40", "3m 20s", "0", "1s", "12MiB", "-"]);
        assert_eq!(rows[1], ["web/1", "waiting", "-", "-", "3", "-", "-", "was killed by SIGSEGV 3s ago"]);
    }

    #[test]
    fn a_process_without_workers_has_one_too() {
        let waits = Process { waits_for: vec!["db to be ready".into()], ..process("web", vec![]) };
        let stopped = Process { wanted: false, ..process("old", vec![]) };
        let none = process("none", vec![]);
        let rows = rows(&[waits, stopped, none], NOW, |_, _| None);
        assert_eq!(rows[2], ["none", "-", "-", "-", "-", "-", "-", "no workers"]);
        assert_eq!(rows[0], ["web", "waiting", "-", "-", "-", "-", "-", "waits for db to be ready"]);
        assert_eq!(rows[1], ["old", "stopped", "-", "-", "-", "-", "-", "no workers"]);
    }

    #[test]
    fn who_waits_has_not_stopped() {
        let stopped = || vec![Worker { state: WorkerState::Stopped, ..Worker::default() }];
        let waits = Process { waits_for: vec!["jobs".into()], ..process("web", stopped()) };
        let rows = rows(&[waits, process("db", stopped())], NOW, |_, _| None);
        assert_eq!([&rows[0][1], &rows[0][7], &rows[1][1]], ["waiting", "waits for jobs", "stopped"]);
    }

    #[test]
    fn what_a_worker_says_and_lost_is_noted() {
        let worker = Worker { healthy: false, status: "7 jobs".into(), log_dropped_bytes: 2048, ..ready(0) };
        let rows = rows(&[process("web", vec![worker])], NOW, |_, _| None);
        assert_eq!(rows[0][1], "unhealthy");
        assert_eq!(rows[0][7], "7 jobs; 2.0KiB are missing in its log");
    }
}
