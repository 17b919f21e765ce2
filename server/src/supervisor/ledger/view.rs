//! How a process is, read from its ledger: for the order, for who waits for something, and for clients.

use super::{Done, Facts, Ledger, Place};
use crate::supervisor::{course::Phase, family::Family, order, usage, words};
use bursar::processes::{Exit, Process, Until, Worker, WorkerState, Workers};
use bursar_supervisor::plan::{Run, State};
use std::collections::{BTreeSet, HashMap};

impl Ledger {
    /// How it is, for clients.
    pub fn view(&self, with_usage: bool) -> Process {
        let (mut process, trees) = self.look(|facts| (facts.view(&self.name, &self.world.family), facts.trees()));
        // Reads many files: not under the lock.
        for worker in process.workers.iter_mut().filter(|_| with_usage) {
            for keeper in trees.iter().filter(|(number, _)| *number == worker.number).map(|(_, keeper)| *keeper) {
                let usage::Usage { cpu_ms, memory_bytes, processes } = usage::of_tree(keeper);
                worker.cpu_ms += cpu_ms;
                worker.memory_bytes += memory_bytes;
                worker.processes += processes;
            }
        }
        process
    }
}

impl Facts {
    /// How it is, as far as others care.
    pub fn status(&self) -> order::Status {
        let Done { version, phase, is_restarting: _ } = self.done;
        if version != self.goal.version {
            return order::Status::default();
        }
        let workers = &self.states.workers;
        let is_up = matches!(phase, Phase::Up | Phase::BeforeRestart);
        let are = |is_it: &dyn Fn(&bursar_supervisor::Worker) -> bool| is_up && workers.iter().all(is_it);
        let has_ended_well =
            |number: u32| self.places.get(&number).and_then(|place| place.last_exit.as_ref()).is_some_and(|exit| exit.code == 0);
        let is_finished = workers.iter().all(|worker| worker.state == State::Finished);
        order::Status {
            is_down: phase == Phase::Down,
            is_started: are(&|worker| worker.pid.is_some()),
            is_ready: self.is_ready(),
            is_healthy: self.is_ready() && self.is_healthy(),
            is_completed: is_up && !workers.is_empty() && is_finished && (0..workers.len() as u32).all(has_ended_well),
        }
    }

    pub fn is_so(&self, until: Until) -> bool {
        let is_told = self.done.version == self.goal.version;
        match until {
            Until::Ready => self.is_ready(),
            Until::Healthy => self.is_ready() && self.is_healthy(),
            Until::Down => {
                let is_to_be = self.is_wanted && !self.goal.is_up;
                let is_under_way = matches!(
                    self.done.phase,
                    Phase::BeforeStart | Phase::Retrying { at_ms: Some(_) } | Phase::Stopping | Phase::AfterStop
                );
                is_told && !is_to_be && !is_under_way && self.are_workers_down()
            }
            Until::Settled => is_told && self.goal.restart.is_none() && !self.done.is_restarting,
        }
    }

    pub fn is_ready(&self) -> bool {
        let is_up = matches!(self.done.phase, Phase::Up | Phase::BeforeRestart) && self.done.version == self.goal.version;
        is_up && self.are_workers_ready()
    }

    pub fn are_workers_ready(&self) -> bool {
        self.states.workers.iter().all(|worker| worker.state == State::Ready)
    }

    /// Those whose own process is there.
    pub fn live_runs(&self) -> BTreeSet<Run> {
        self.runs.iter().filter(|(_, running)| running.pid.is_some() && running.exit.is_none()).map(|(run, _)| *run).collect()
    }

    /// By `sd_notify`.
    pub fn has_said_ready(&self, run: Run) -> bool {
        self.runs.get(&run).is_some_and(|running| running.said.is_ready)
    }

    pub fn are_workers_down(&self) -> bool {
        self.states.workers.iter().all(bursar_supervisor::Worker::is_down)
    }

    /// How many there are to be.
    pub fn worker_count(&self) -> u32 {
        match self.spec.workers {
            Workers::Fixed(count) => count,
            Workers::Lag { min, max, .. } => self.scaled.unwrap_or(min).clamp(min, max.max(min)),
        }
    }

    fn is_healthy(&self) -> bool {
        let fit = self.fit();
        (0..self.states.workers.len() as u32).all(fit)
    }

    /// Whether the newest run of a worker that has not ended is ready and lives. One that has none is fit where nothing is checked.
    fn fit(&self) -> impl Fn(u32) -> bool {
        let runs = self.runs.values().filter(|running| running.exit.is_none());
        // The newest comes last.
        let newest: HashMap<u32, bool> = runs.map(|run| (run.worker, run.is_fit.is_ready && run.is_fit.is_live)).collect();
        let otherwise = self.spec.readiness.is_none();
        move |worker| newest.get(&worker).copied().unwrap_or(otherwise)
    }

    fn view(&self, name: &str, family: &Family) -> Process {
        let fit = self.fit();
        let workers = self.states.workers.iter().zip(0..);
        let workers = workers.map(|(worker, number)| self.worker(worker, number, fit(number), family)).collect();
        Process {
            name: name.to_owned(),
            command: self.spec.command.clone(),
            wanted: self.is_wanted,
            waits_for: self.waits_for.clone(),
            workers,
        }
    }

    fn worker(&self, worker: &bursar_supervisor::Worker, number: u32, healthy: bool, family: &Family) -> Worker {
        let Place { starts, started_ms, last_run, last_exit, status, log } =
            self.places.get(&number).cloned().unwrap_or_default();
        let state = match (worker.state, self.done.phase) {
            (State::Stopped, Phase::BeforeStart) => WorkerState::Starting,
            (State::Stopped, Phase::Retrying { at_ms: Some(_) }) => WorkerState::Waiting,
            (State::Stopped, Phase::Retrying { at_ms: None }) => WorkerState::Spent,
            (state, _) => words::worker_state(state),
        };
        Worker {
            number,
            state,
            healthy,
            pid: worker.pid,
            started_ms,
            restarts: starts.saturating_sub(1),
            last_exit: last_exit.map(|exit| Exit { held: family.held(last_run), ..exit }),
            log_dropped_bytes: log.map_or(0, |log| log.dropped()),
            status,
            ..Worker::default()
        }
    }

    /// Workers, and the keepers of their trees.
    fn trees(&self) -> Vec<(u32, u32)> {
        self.runs.values().filter_map(|running| Some((running.worker, running.keeper?))).collect()
    }
}
