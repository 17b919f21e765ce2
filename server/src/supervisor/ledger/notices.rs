//! What the mechanics say, written down and told.

use super::{Fit, Ledger, Running, Said};
use crate::supervisor::{memory_kills::MemoryKills, notify::NotifySocket, words};
use bursar::processes::{Activity, Exit, Spent};
use bursar_supervisor::{
    Notice, Program,
    plan::{Report, Run},
};

impl Ledger {
    /// A run begins, of this number among those of all processes.
    pub fn begin(&self, worker: u32, run: Run, number: u64, program: Program, notify: Option<NotifySocket>) {
        self.write(|facts| {
            let is_fit = Fit { is_ready: facts.spec.readiness.is_none(), is_live: true };
            let place = facts.places.entry(worker).or_default();
            place.starts += 1;
            place.status.clear();
            let running = Running {
                worker,
                number,
                keeper: None,
                pid: None,
                program,
                notify,
                said: Said::default(),
                is_fit,
                memory: None,
                exit: None,
            };
            facts.runs.insert(run, running);
        });
    }

    /// The mechanics say what happened.
    pub fn notice(&self, notice: Notice) {
        match notice {
            Notice::Spawned { worker: _, run, keeper } => self.write(|facts| {
                let Some(running) = facts.runs.get_mut(&run) else { return };
                running.keeper = Some(keeper);
            }),
            Notice::Started { worker, run, pid } => self.started(worker, run, pid),
            Notice::Gone { worker, run, last_lines } => self.gone(worker, run, last_lines),
            Notice::Report(report) => self.report(report),
        }
    }

    fn started(&self, worker: u32, run: Run, pid: u32) {
        let memory = MemoryKills::of_process(pid);
        let command = self.write(|facts| {
            if let Some(running) = facts.runs.get_mut(&run) {
                (running.pid, running.memory) = (Some(pid), memory);
                self.world.family.started(running.number, pid);
            }
            facts.places.entry(worker).or_default().started_ms = self.world.clock.now().0;
            facts.spec.command.join(" ")
        });
        let text = format!("started {command}");
        self.tell(Activity { worker: Some(worker), what: "started".into(), text, pid: Some(pid), ..Activity::default() });
    }

    fn ended(&self, worker: u32, run: Run, exit: &bursar_supervisor::Exit, expected: bool) {
        let at_ms = self.world.clock.now().0;
        let exit = self.write(|facts| {
            let running = facts.runs.get_mut(&run);
            let out_of_memory = running.as_ref().and_then(|running| running.memory.as_ref()).is_some_and(MemoryKills::happened);
            let pid = running.as_ref().and_then(|running| running.pid);
            let exit = Exit { pid, at_ms, ..words::exit(exit, expected, out_of_memory) };
            let last_run = running.map_or(0, |running| {
                running.exit = Some(exit.clone());
                running.number
            });
            let place = facts.places.entry(worker).or_default();
            (place.last_run, place.last_exit) = (last_run, Some(exit.clone()));
            exit
        });
        let text = exit.text.clone();
        let pid = exit.pid;
        self.tell(Activity { worker: Some(worker), what: "exited".into(), text, pid, exit: Some(exit), ..Activity::default() });
    }

    fn gone(&self, worker: u32, run: Run, last_lines: Vec<String>) {
        let exit = self.write(|facts| {
            let running = facts.runs.remove(&run)?;
            let exit = Exit { last_lines, ..running.exit? };
            self.world.family.gone(running.number, &exit.text, &exit.last_lines);
            if let Some(last) = facts.places.entry(worker).or_default().last_exit.as_mut().filter(|last| last.pid == exit.pid) {
                last.last_lines = exit.last_lines.clone();
            }
            Some(exit)
        });
        // Otherwise there was nothing of it.
        let Some(exit) = exit else { return };
        let text = match exit.last_lines.join("\n") {
            lines if lines.is_empty() => "nothing of it is left".to_owned(),
            lines => format!("nothing of it is left; its last words: {lines}"),
        };
        let pid = exit.pid;
        self.tell(Activity { worker: Some(worker), what: "gone".into(), text, pid, exit: Some(exit), ..Activity::default() });
    }

    fn report(&self, report: Report) {
        let (worker, what, text) = match report {
            Report::Ended { worker, run, exit, expected } => return self.ended(worker, run, &exit, expected),
            Report::Overdue { worker, run: _ } => (Some(worker), "overdue", "did not stop in time and is killed".to_owned()),
            Report::NotReady { worker, run: _ } => (Some(worker), "not-ready", "was not up in time and is stopped".to_owned()),
            Report::Again { worker, in_ms, failures } => {
                (Some(worker), "waiting", format!("is started again in {} (try {failures})", words::duration(in_ms)))
            }
            Report::Finished { worker } => (Some(worker), "finished", "has ended and is left so".to_owned()),
            Report::Spent { worker } => {
                self.write(|facts| facts.is_everything_spent |= facts.spec.budget.spent == Spent::Everything);
                (Some(worker), "spent", "has failed too often and is left so".to_owned())
            }
            Report::Restarted => {
                self.write(|facts| facts.has_restarted = Some(true));
                (None, "restarted", "all its workers are new".to_owned())
            }
            Report::RestartFailed { worker, run: _ } => {
                self.write(|facts| facts.has_restarted = Some(false));
                (Some(worker), "restart-failed", "the new one did not get ready: what works stays".to_owned())
            }
        };
        self.say(worker, what, text);
    }
}
