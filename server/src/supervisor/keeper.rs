//! Who keeps one process: brings it to where it is told to be, by its course, and looks after what runs. The mechanics start and stop its
//! workers; this is what stands around them.

mod place;
mod standing;

use super::{
    Shared, channels, checks,
    course::{Facts, Phase},
    hooks::{self, Turn},
    ledger::{self, Done, Goal, Ledger, Restarting},
    words,
};
use crate::{clock::Clock, objects::kind::Moment};
use bursar::processes::Spec;
use bursar_supervisor::{
    Backoff, Policy, Process,
    plan::{Input, Run, Wish},
};
use futures_util::future::BoxFuture;
use place::Place;
use std::{
    collections::HashMap,
    future::pending,
    path::Path,
    sync::{Arc, Weak},
};
use tokio::task::{AbortHandle, JoinSet};

/// A process that is kept. Dropped, all its workers are killed.
pub struct Kept {
    pub ledger: Arc<Ledger>,
    pub process: Process,
    pub supervisor: Weak<Shared>,
}

impl Kept {
    /// Nothing of it runs yet. Inside of a tokio runtime only.
    pub fn new(ledger: Arc<Ledger>, policy: Policy, supervisor: Weak<Shared>) -> Arc<Kept> {
        let workers = ledger.look(ledger::Facts::worker_count);
        let host = Place::new(ledger.clone());
        Arc::new(Kept { process: Process::start(policy, workers, false, host), ledger, supervisor })
    }
}

/// Where its files are.
fn directory(spec: &Spec) -> &Path {
    Path::new(spec.directory.as_deref().unwrap_or("."))
}

/// See the [module](self).
pub struct Keeper {
    kept: Arc<Kept>,
    /// As it was taken over last.
    spec: Spec,
    workers: u32,
    /// Hooks that the phase waits for.
    errand: Option<BoxFuture<'static, Result<(), String>>>,
    /// How they ended.
    outcome: Option<Result<(), String>>,
    /// Failed tries to start, in a row.
    failures: u32,
    /// It has been up since it was down: hooks are to be run after its stop.
    was_up: bool,
    owes_after_start: bool,
    /// What a restart is for that waits for its hooks.
    restart: Option<Restarting>,
    is_restarting: bool,
    /// Hooks that nobody waits for.
    background: JoinSet<()>,
    /// Who listens, scales and watches, as long as the description stays.
    standing: JoinSet<()>,
    checks: JoinSet<()>,
    attended: HashMap<Run, AbortHandle>,
}

impl Keeper {
    pub fn new(kept: Arc<Kept>) -> Keeper {
        let (spec, workers) = kept.ledger.look(|facts| (facts.spec.clone(), facts.worker_count()));
        Keeper {
            kept,
            spec,
            workers,
            errand: None,
            outcome: Some(Ok(())),
            failures: 0,
            was_up: false,
            owes_after_start: false,
            restart: None,
            is_restarting: false,
            background: JoinSet::new(),
            standing: JoinSet::new(),
            checks: JoinSet::new(),
            attended: HashMap::new(),
        }
    }

    /// Until the process is forgotten.
    pub async fn run(mut self) {
        channels::open(&self.kept.ledger).await;
        self.stand();
        let mut states = self.kept.process.states();
        while !self.is_over() {
            self.follow().await;
            self.look_after_runs();
            let retry = self.retry_at();
            let (ledger, clock) = (&self.kept.ledger, &self.kept.ledger.world.clock);
            tokio::select! {
                () = ledger.work.notified() => {}
                _ = states.changed() => {}
                outcome = done(&mut self.errand) => {
                    (self.errand, self.outcome) = (None, Some(outcome));
                }
                () = until(clock, retry) => {}
                Some(_) = self.background.join_next() => {}
                Some(_) = self.checks.join_next() => {}
            }
        }
    }

    fn is_over(&self) -> bool {
        self.kept.ledger.look(|facts| facts.is_forgotten)
    }

    fn done(&self) -> Done {
        self.kept.ledger.look(|facts| facts.done)
    }

    fn retry_at(&self) -> Option<u64> {
        if let Phase::Retrying { at_ms } = self.done().phase { at_ms } else { None }
    }

    /// Another description, or another number of workers.
    async fn adopt(&mut self) {
        let (spec, workers) = self.kept.ledger.look(|facts| (facts.spec.clone(), facts.worker_count()));
        if workers != self.workers {
            self.workers = workers;
            self.kept.process.wish(Wish::Scale(workers)).await;
        }
        if spec != self.spec {
            // It was looked at before it was taken.
            if let Ok(policy) = words::policy(&spec) {
                self.kept.process.tell(Input::Policy(policy)).await;
            }
            self.spec = spec;
            self.stand();
        }
    }

    fn stand(&mut self) {
        self.standing.abort_all();
        standing::begin(&self.kept, &self.spec, &mut self.standing);
    }

    /// Goes as far as it can without waiting.
    async fn follow(&mut self) {
        let goal = self.take_goal();
        // After the goal was read: whoever sees that it is done finds this done, too.
        self.adopt().await;
        self.show();
        if goal.kill {
            (self.errand, self.outcome) = (None, Some(Ok(())));
            self.kept.process.wish(Wish::Kill).await;
            if self.done().phase != Phase::Down {
                self.stand_at(Phase::Stopping);
            }
        }
        let mut again = goal.again;
        while let Some(next) = self.done().phase.next(self.facts(goal.is_up, again)) {
            again &= !matches!(next, Phase::BeforeStart);
            self.enter(next).await;
        }
        if again && self.done().phase.wants_workers() {
            self.kept.process.wish(Wish::Start).await;
        }
        if let Some(restart) = goal.restart.filter(|_| self.done().phase == Phase::Up) {
            self.restart = Some(restart);
            self.enter(Phase::BeforeRestart).await;
            while let Some(next) = self.done().phase.next(self.facts(goal.is_up, false)) {
                self.enter(next).await;
            }
        }
        self.end_restart();
        self.run_after_start();
        self.show();
        self.write_done(|done| done.version = goal.version);
    }

    /// What is there to be done once is taken, but for a restart as long as another is under way.
    fn take_goal(&self) -> Goal {
        let goal = self.kept.ledger.look(|facts| facts.goal.clone());
        let takes_restart = self.done().phase != Phase::BeforeRestart;
        if goal.again || goal.kill || (goal.restart.is_some() && takes_restart) {
            self.kept.ledger.write(|facts| {
                (facts.goal.again, facts.goal.kill) = (false, false);
                facts.goal.restart.take_if(|_| takes_restart);
            });
        }
        Goal { restart: goal.restart.filter(|_| takes_restart), ..goal }
    }

    fn show(&self) {
        let states = self.kept.process.states().borrow().clone();
        self.kept.ledger.show(states);
    }

    fn facts(&self, is_up: bool, again: bool) -> Facts {
        Facts {
            is_up,
            again,
            hooks: self.outcome.as_ref().map(Result::is_ok),
            is_gone: self.kept.process.workers().iter().all(bursar_supervisor::Worker::is_down),
            now_ms: self.kept.ledger.world.clock.now().0,
            retry_ms: self.retry_ms(),
        }
    }

    fn retry_ms(&self) -> Option<u64> {
        let bursar::processes::Backoff { first_ms, max_ms, jitter, reset_ms } = self.spec.backoff;
        let backoff = Backoff { first_ms, max_ms, jitter, reset_ms };
        let chance = f64::from(u32::from_be_bytes(bursar_proto::authkey::random())) / f64::from(u32::MAX);
        let tries_again = self.spec.restart != bursar::processes::Restart::Never;
        tries_again.then(|| backoff.delay_ms(self.failures + 1, chance))
    }

    fn stand_at(&self, phase: Phase) {
        self.write_done(|done| done.phase = phase);
    }

    /// Only what is new is written: each writing calls its readers.
    fn write_done(&self, change: impl Fn(&mut Done)) {
        let mut done = self.done();
        change(&mut done);
        if done != self.done() {
            self.kept.ledger.write(|facts| change(&mut facts.done));
        }
    }

    async fn enter(&mut self, next: Phase) {
        let before = self.done().phase;
        let went_well = !matches!(self.outcome, Some(Err(_)));
        match next {
            Phase::BeforeStart => self.begin(&[Turn::BeforeStart]),
            Phase::Retrying { at_ms } => {
                self.failures += 1;
                let (what, text) = match at_ms {
                    Some(at_ms) => {
                        let in_ms = at_ms.saturating_sub(self.kept.ledger.world.clock.now().0);
                        ("waiting", format!("is started again in {} (try {})", words::duration(in_ms), self.failures))
                    }
                    None => ("spent", "is left so".to_owned()),
                };
                self.kept.ledger.say(None, what, text);
            }
            Phase::Up if before == Phase::BeforeRestart => self.replace(went_well).await,
            Phase::Up => {
                if before == Phase::BeforeStart {
                    (self.failures, self.was_up, self.owes_after_start) = (0, true, true);
                }
                (self.errand, self.outcome) = (None, Some(Ok(())));
                self.kept.process.wish(Wish::Start).await;
            }
            Phase::BeforeRestart => self.begin(&[Turn::BeforeStop, Turn::BeforeRestart]),
            Phase::BeforeStop => self.begin(&[Turn::BeforeStop]),
            Phase::Stopping => {
                (self.errand, self.outcome) = (None, Some(Ok(())));
                (self.owes_after_start, self.restart, self.is_restarting) = (false, None, false);
                self.kept.process.wish(Wish::Stop).await;
            }
            Phase::AfterStop => {
                self.background.abort_all();
                let turns: &[Turn] = if self.was_up { &[Turn::AfterStop] } else { &[] };
                self.begin(turns);
            }
            Phase::Down => self.was_up = false,
        }
        let is_restarting = next == Phase::BeforeRestart || self.is_restarting;
        self.write_done(|done| (done.phase, done.is_restarting) = (next, is_restarting));
    }

    /// Hooks run from now on. One of a stop does not keep those of a restart from being run.
    fn begin(&mut self, turns: &[Turn]) {
        let has_any = |turn: &Turn| self.has_hooks(*turn);
        let turns: Vec<Turn> = turns.iter().copied().filter(has_any).collect();
        (self.errand, self.outcome) = (None, Some(Ok(())));
        let ledger = self.kept.ledger.clone();
        if !turns.is_empty() {
            self.outcome = None;
            self.errand = Some(Box::pin(async move {
                let mut last = Ok(());
                for turn in turns {
                    last = hooks::run(ledger.clone(), turn).await;
                }
                last
            }));
        }
    }

    fn has_hooks(&self, turn: Turn) -> bool {
        hooks::has_any(&self.kept.ledger, &self.spec, turn)
    }

    async fn replace(&mut self, may: bool) {
        let restart = self.restart.take();
        (self.errand, self.outcome) = (None, Some(Ok(())));
        if !may {
            return self.kept.ledger.say(None, "restart-failed", "a hook before it failed: everything stays as it is");
        }
        self.kept.ledger.write(|facts| facts.has_restarted = None);
        match restart {
            Some(Restarting::All) | None => self.kept.process.wish(Wish::Restart).await,
            Some(Restarting::Some(workers)) => {
                for worker in workers {
                    self.kept.process.wish(Wish::RestartOne(worker)).await;
                }
            }
        }
        self.is_restarting = true;
    }

    fn end_restart(&mut self) {
        if !self.is_restarting || self.kept.process.states().borrow().is_restarting {
            return;
        }
        self.is_restarting = false;
        let outcome = self.kept.ledger.write(|facts| facts.has_restarted.take());
        if outcome != Some(false) && self.done().phase.wants_workers() {
            self.later(&[Turn::AfterStart, Turn::AfterRestart]);
        }
        self.write_done(|done| done.is_restarting = done.phase == Phase::BeforeRestart);
    }

    fn run_after_start(&mut self) {
        let is_up = self.kept.ledger.look(ledger::Facts::are_workers_ready);
        if self.owes_after_start && self.done().phase == Phase::Up && is_up {
            self.owes_after_start = false;
            self.later(&[Turn::AfterStart]);
        }
    }

    /// Nobody waits for them.
    fn later(&mut self, turns: &[Turn]) {
        let turns: Vec<Turn> = turns.iter().copied().filter(|turn| self.has_hooks(*turn)).collect();
        let ledger = self.kept.ledger.clone();
        if !turns.is_empty() {
            self.background.spawn(async move {
                for turn in turns {
                    // A failure was told.
                    let _ = hooks::run(ledger.clone(), turn).await;
                }
            });
        }
    }

    /// Who runs is attended to, who does not any more is not.
    fn look_after_runs(&mut self) {
        let (running, asks) = self.kept.ledger.look(|facts| (facts.live_runs(), !facts.asks.is_empty()));
        self.attended.retain(|run, task| {
            let is_there = running.contains(run);
            if !is_there {
                task.abort();
            }
            is_there
        });
        for run in running {
            if !self.attended.contains_key(&run) {
                let notify = self.kept.ledger.take_notify(run);
                let attending = checks::attend(self.kept.clone(), run, self.spec.clone(), notify);
                self.attended.insert(run, self.checks.spawn(attending));
            }
        }
        if asks {
            for run in self.kept.ledger.write(|facts| std::mem::take(&mut facts.asks)) {
                self.background.spawn(channels::ask(self.kept.ledger.clone(), run));
            }
        }
    }
}

async fn until(clock: &Clock, at_ms: Option<u64>) {
    match at_ms {
        Some(at_ms) => clock.sleep_until(Moment(at_ms)).await,
        None => pending().await,
    }
}

async fn done(errand: &mut Option<BoxFuture<'static, Result<(), String>>>) -> Result<(), String> {
    match errand {
        Some(errand) => errand.await,
        None => pending().await,
    }
}
