//! Whether the workers are well: asks each run again and again, and hears what it says of itself. What follows is told to the plan, which
//! decides.

use super::{
    keeper::Kept,
    ledger::{Facts, Running},
    notify::{NotifySocket, Said},
    probe::{Asked, ask},
    words,
};
use bursar::processes::{Activity, Check, Probe, Spec};
use bursar_supervisor::{
    Program,
    plan::{Input, Run},
};
use std::{sync::Arc, time::Duration};

/// Looks after one run, as long as it is there. Whoever started this ends it.
pub async fn attend(kept: Arc<Kept>, run: Run, spec: Spec, notify: Option<NotifySocket>) {
    let Some(subject) = Subject::of(kept, run) else { return };
    tokio::join!(listen(&subject, notify), check(&subject, &spec));
}

/// A run, and who may be asked about it.
struct Subject {
    kept: Arc<Kept>,
    run: Run,
    worker: u32,
    /// Among the runs of all processes.
    number: u64,
    program: Program,
    started_ms: u64,
}

impl Subject {
    fn of(kept: Arc<Kept>, run: Run) -> Option<Subject> {
        let started_ms = kept.ledger.world.clock.now().0;
        let (worker, number, program) = kept.ledger.look(|facts| {
            let running = facts.runs.get(&run)?;
            Some((running.worker, running.number, running.program.clone()))
        })?;
        Some(Subject { kept, run, worker, number, program, started_ms })
    }

    fn age_ms(&self) -> u64 {
        self.kept.ledger.world.clock.now().0.saturating_sub(self.started_ms)
    }

    /// Writes down what is known of this run, if it is still there.
    fn note(&self, note: impl FnOnce(&mut Running)) {
        self.kept.ledger.write(|facts: &mut Facts| {
            if let Some(running) = facts.runs.get_mut(&self.run) {
                note(running);
            }
        });
    }

    fn say(&self, what: &str, text: String) {
        let pid = self.kept.ledger.look(|facts| facts.runs.get(&self.run).and_then(|running| running.pid));
        let activity = Activity { worker: Some(self.worker), what: what.into(), text, pid, ..Activity::default() };
        self.kept.ledger.tell(activity);
    }

    async fn ask(&self, check: &Check, asks_for_life: bool) -> Result<(), String> {
        let asked = Question { subject: self, asks_for_life };
        ask(&check.probe, Duration::from_millis(check.timeout_ms), &asked).await
    }
}

/// What is asked of a run: that it is ready, or that it lives.
struct Question<'a> {
    subject: &'a Subject,
    asks_for_life: bool,
}

impl Asked for Question<'_> {
    fn has_session(&self) -> bool {
        !self.subject.kept.ledger.world.table.sessions_of_run(self.subject.number).is_empty()
    }

    fn program(&self) -> Program {
        self.subject.program.clone()
    }

    fn notified(&self) -> bool {
        let run = self.subject.run;
        match self.asks_for_life {
            false => self.subject.kept.ledger.look(|facts| facts.has_said_ready(run)),
            true => self
                .subject
                .kept
                .ledger
                .write(|facts| facts.runs.get_mut(&run).is_some_and(|running| std::mem::take(&mut running.said.is_alive))),
        }
    }
}

/// Hears what it says of itself.
async fn listen(subject: &Subject, notify: Option<NotifySocket>) {
    let Some(notify) = notify else { return };
    loop {
        match notify.next().await {
            Ok(all) => all.into_iter().for_each(|said| hear(subject, said)),
            Err(error) => {
                tracing::debug!(process = subject.kept.ledger.name, %error, "a worker cannot be heard any more");
                return;
            }
        }
    }
}

fn hear(subject: &Subject, said: Said) {
    let worker = subject.worker;
    match said {
        Said::Ready => subject.note(|running| running.said.is_ready = true),
        Said::Watchdog => subject.note(|running| running.said.is_alive = true),
        Said::Status(status) => {
            subject.kept.ledger.write(|facts| facts.places.entry(worker).or_default().status = status);
        }
        Said::Stopping | Said::Reloading | Said::Extend(_) | Said::MainPid(_) | Said::Other(_) => {}
    }
}

async fn check(subject: &Subject, spec: &Spec) {
    if let Some(up) = spec.startup.as_ref().or(spec.readiness.as_ref()) {
        come_up(subject, up).await;
    }
    tokio::join!(stay_ready(subject, spec.readiness.as_ref()), stay_live(subject, spec.liveness.as_ref()));
}

/// Until it is up; the plan keeps the time.
async fn come_up(subject: &Subject, check: &Check) {
    while let Err(problem) = subject.ask(check, false).await {
        tracing::debug!(process = subject.kept.ledger.name, worker = subject.worker, problem, "not up yet");
        match check.probe {
            // It says so by itself: nobody has to ask again for that.
            Probe::Notify => subject.kept.ledger.until(|facts| facts.has_said_ready(subject.run)).await,
            _ => pause(subject, check).await,
        }
    }
    subject.kept.process.tell(Input::Ready(subject.run)).await;
}

async fn stay_ready(subject: &Subject, check: Option<&Check>) {
    let Some(check) = check else { return };
    let (mut judge, mut was_ready) = (Judge::new(check), false);
    loop {
        let answer = subject.ask(check, false).await;
        let is_ready = judge.hear(answer.is_ok(), subject.age_ms()) && (was_ready || answer.is_ok());
        if is_ready != was_ready {
            subject.note(|running| running.is_fit.is_ready = is_ready);
        }
        if let (true, false, Err(problem)) = (was_ready, is_ready, answer) {
            subject.say("unhealthy", format!("is not ready any more: {problem}"));
        }
        was_ready = is_ready;
        pause(subject, check).await;
    }
}

async fn stay_live(subject: &Subject, check: Option<&Check>) {
    let Some(check) = check else { return };
    let (mut judge, mut was_live) = (Judge::new(check), true);
    loop {
        pause(subject, check).await;
        let answer = subject.ask(check, true).await;
        let is_well = judge.hear(answer.is_ok(), subject.age_ms());
        if judge.failures == 0 || was_live {
            was_live = judge.failures == 0;
            subject.note(|running| running.is_fit.is_live = was_live);
        }
        if let (false, Err(problem)) = (is_well, answer) {
            let every = words::duration(check.interval_ms);
            subject.say("unhealthy", format!("failed {} checks in a row, every {every}: {problem}", judge.failures));
            return subject.kept.process.tell(Input::Unhealthy(subject.run)).await;
        }
    }
}

async fn pause(subject: &Subject, check: &Check) {
    // Twice in a millisecond is a busy loop.
    let interval = Duration::from_millis(check.interval_ms.max(1));
    subject.kept.ledger.world.clock.sleep(interval).await;
}

/// Counts failures in a row.
struct Judge {
    most: u32,
    grace_ms: u64,
    failures: u32,
    has_been_well: bool,
}

impl Judge {
    fn new(check: &Check) -> Judge {
        Judge { most: check.failures.max(1), grace_ms: check.within_ms, failures: 0, has_been_well: false }
    }

    /// Whether there were not too many yet. Before it was well for the first time, it has its grace.
    fn hear(&mut self, is_well: bool, age_ms: u64) -> bool {
        self.has_been_well |= is_well;
        self.failures = match is_well {
            true => 0,
            false if !self.has_been_well && age_ms < self.grace_ms => 0,
            false => self.failures + 1,
        };
        self.failures < self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_failures_in_a_row_are_one_and_who_was_never_well_has_its_grace() {
        let mut judge = Judge::new(&Check { failures: 2, within_ms: 100, ..Check::default() });
        assert_eq!([0, 50, 99].map(|age| judge.hear(false, age)), [true; 3]);
        assert_eq!([100, 101].map(|age| judge.hear(false, age)), [true, false]);
        let mut judge = Judge::new(&Check { failures: 2, within_ms: 100, ..Check::default() });
        assert_eq!([true, false, true, false, false].map(|is_well| judge.hear(is_well, 1)), [true, true, true, true, false]);
    }
}
