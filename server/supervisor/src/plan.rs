//! What is to be done with the workers of one process: wishes, exits and time come in, actions go out. Pure: it starts nothing, kills
//! nothing, reads no clock and throws no dice.
//!
//! A worker is a place, numbered from 0; what is started there is a *run*, and over when nothing of its process tree is left. One run:
//!
//! ```text
//!   Starting ── it is ready ──► Ready
//!      │                          │ a wish, not ready in time, not healthy
//!      └──────────┬───────────────┘
//!              Asked ── time ──► Told (the signal) ── time ──► Killed ── nothing is left ──► gone
//!      its own process ended, at any time: what is left is killed ──────▲
//! ```
//!
//! A wish is never refused and never queued: it changes what is wanted, and everything follows from what is wanted and what is there.
//! So the newest one wins, whatever is under way. A place has one run at a time. The one exception is a restart with overlap, which
//! replaces one place after the other: there the new run comes first, and the old one is stopped when the new one is ready. If the
//! new one does not get there, the restart is given up, and what still works stays.

mod place;

use crate::{Exit, Policy, Spent};
use place::{GivenUp, Phase, Place, Running, WhyStopped};
use std::ops::Range;

/// Milliseconds on a time line that does not go back.
pub type Moment = u64;

/// What was started once, by the number of its start. It never comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run(pub u64);

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The workers are to be up. Who was given up, or waits for its next start, is started at once.
    Start,
    /// They are to be down.
    Stop,
    /// They are to be down, and nobody has time for it any more.
    Kill,
    /// Every worker is to be one that was started after this; also who had been stopped.
    Restart,
    /// As `Restart`, for one worker, if it is to be up: a worker that asks for it is no reason to start what somebody stopped.
    RestartOne(u32),
    /// So many workers.
    Scale(u32),
    /// A signal to each of them, by number.
    Signal(i32),
    /// A signal to one of them: which, and its number.
    SignalOne(u32, i32),
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Somebody wants something.
    Wish(Wish),
    /// Its process runs.
    Started(Run),
    /// It says that it is ready, or its check does.
    Ready(Run),
    /// Its check says that it does not work.
    Unhealthy(Run),
    /// It is to go, which is not its failure: if its worker is wanted, another comes at once when nothing of it is left.
    End(Run),
    /// From now on workers are kept so.
    Policy(Policy),
    /// Its own process ended, or could not be started.
    Exited(Run, Exit),
    /// Nothing of it is left. Comes once for each run, at its end.
    Gone(Run),
    /// It is at least as late as [`Plan::wake_at`] said.
    Time,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start the command in this place.
    Spawn {
        /// Which place.
        worker: u32,
        /// What it is called from now on.
        run: Run,
    },
    /// Ask it by message to end.
    Ask(Run),
    /// Send this signal to its process group.
    Signal(Run, i32),
    /// Kill everything of it, also what it has left behind.
    Kill(Run),
    /// Tell whoever wants to know.
    Report(Report),
}

/// What somebody may want to know.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Report {
    /// The process of a worker ended; expected, if it had been told to.
    Ended { worker: u32, run: Run, exit: Exit, expected: bool },
    /// It did not stop in time.
    Overdue { worker: u32, run: Run },
    /// It did not say in time that it is ready.
    NotReady { worker: u32, run: Run },
    /// It is started again after a time; the count of failures in a row is what made the time long.
    Again { worker: u32, in_ms: u64, failures: u32 },
    /// It ended, and its policy is to leave it so.
    Finished { worker: u32 },
    /// Its budget is spent: nobody starts it again.
    Spent { worker: u32 },
    /// All workers are those that the restart asked for.
    Restarted,
    /// The new run did not get ready: the restart is given up.
    RestartFailed { worker: u32, run: Run },
}

/// How a worker is, for who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum State {
    Stopped,
    Starting,
    Ready,
    Stopping,
    /// It failed, and is started again then.
    Waiting {
        until: Moment,
    },
    /// It ended, and its policy is to leave it so.
    Finished,
    /// Its budget is spent.
    Spent,
}

/// A process with its workers.
#[derive(Clone, Debug)]
pub struct Plan {
    policy: Policy,
    is_wanted: bool,
    /// How many are wanted; there may be more places while those that are too many stop.
    workers: u32,
    places: Vec<Place>,
    /// Runs that are older than this are to be replaced.
    version: u64,
    restart: Option<Replacing>,
    /// A restart was wished, and nobody was told yet how it ended.
    owes_report: bool,
    next_run: u64,
    actions: Vec<Action>,
}

/// The one place at a time in which a restart replaces a run.
#[derive(Clone, Copy, Debug)]
struct Replacing {
    place: usize,
    /// Who is to go; who comes in its place has a larger number.
    old: Run,
    /// What the restart was for.
    version: u64,
}

impl Plan {
    /// So many workers, none of which runs yet. Unless they are wanted, they wait for a wish.
    pub fn new(policy: Policy, workers: u32, is_wanted: bool) -> Plan {
        Plan {
            policy,
            is_wanted,
            workers,
            places: Vec::new(),
            version: 1,
            restart: None,
            owes_report: false,
            next_run: 1,
            actions: Vec::new(),
        }
    }

    /// What is to be done now that this happened. `chance` is even between 0 and 1, another one each time.
    ///
    /// What is told of a run that is over is ignored.
    pub fn step(&mut self, now: Moment, input: Input, chance: f64) -> Vec<Action> {
        match input {
            Input::Wish(wish) => self.wish(wish),
            Input::Started(run) if self.policy.ready_ms.is_none() => self.ready(now, run),
            Input::Started(_) | Input::Time => {}
            Input::Ready(run) => self.ready(now, run),
            Input::Unhealthy(run) => self.end(now, run, WhyStopped::Failure),
            Input::End(run) => self.end(now, run, WhyStopped::Wish),
            Input::Policy(policy) => self.policy = policy,
            Input::Exited(run, exit) => self.exited(run, exit),
            Input::Gone(run) => self.gone(now, run, chance),
        }
        // Times may be 0; then what was begun now is overdue now.
        loop {
            self.overdue(now);
            self.follow(now);
            if self.wake_at().is_none_or(|wake| wake > now) {
                break;
            }
        }
        std::mem::take(&mut self.actions)
    }

    /// When [`Input::Time`] is wanted next; none: only when something else has happened.
    pub fn wake_at(&self) -> Option<Moment> {
        let starts = self.places.iter().enumerate().filter(|(at, place)| self.wants(*at) && place.runs.is_empty());
        let runs = self.places.iter().flat_map(|place| &place.runs);
        starts.map(|(_, place)| place.not_before).chain(runs.filter_map(Running::deadline)).min()
    }

    /// How the workers are, by their numbers.
    pub fn states(&self) -> Vec<State> {
        self.places.iter().enumerate().map(|(at, place)| place.state(self.wants(at))).collect()
    }

    /// Whether nothing runs.
    pub fn is_down(&self) -> bool {
        self.places.iter().all(|place| place.runs.is_empty())
    }

    /// Whether the workers are to be up, as the newest wish has it.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Whether a restart was wished, and has not ended yet.
    pub fn is_restarting(&self) -> bool {
        self.owes_report || self.restart.is_some()
    }

    fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Start => self.want(),
            Wish::Stop => self.is_wanted = false,
            Wish::Kill => {
                self.is_wanted = false;
                self.kill();
            }
            Wish::Restart => {
                self.want();
                self.version += 1;
                self.owes_report = true;
            }
            Wish::RestartOne(worker) => {
                let Some(place) = self.places.get_mut(worker as usize) else { return };
                place.forgive();
                if let Some(running) = place.runs.last_mut().filter(|running| running.is_live()) {
                    (running.is_stale, self.owes_report) = (true, true);
                }
            }
            Wish::Scale(workers) => self.workers = workers,
            Wish::Signal(signal) => self.signal(0..self.places.len(), signal),
            Wish::SignalOne(worker, signal) => {
                let at = worker as usize;
                self.signal(at.min(self.places.len())..(at + 1).min(self.places.len()), signal);
            }
        }
    }

    fn signal(&mut self, places: Range<usize>, signal: i32) {
        let runs = self.places[places].iter().flat_map(|place| &place.runs).filter(|running| running.phase != Phase::Killed);
        self.actions.extend(runs.map(|running| Action::Signal(running.id, signal)));
    }

    fn want(&mut self) {
        self.is_wanted = true;
        self.places.iter_mut().for_each(Place::forgive);
    }

    fn kill(&mut self) {
        for running in self.places.iter_mut().flat_map(|place| &mut place.runs).filter(|running| running.phase != Phase::Killed) {
            running.phase = Phase::Killed;
            running.why_stopped = running.why_stopped.or(Some(WhyStopped::Wish));
            self.actions.push(Action::Kill(running.id));
        }
    }

    fn wants(&self, at: usize) -> bool {
        self.is_wanted && at < self.workers as usize && self.places[at].given_up.is_none()
    }

    fn find(&mut self, run: Run) -> Option<(usize, &mut Running)> {
        let runs =
            self.places.iter_mut().enumerate().flat_map(|(at, place)| place.runs.iter_mut().map(move |running| (at, running)));
        runs.into_iter().find(|(_, running)| running.id == run)
    }

    fn ready(&mut self, now: Moment, run: Run) {
        let Some((_, running)) = self.find(run) else { return };
        if let Phase::Starting { .. } = running.phase {
            (running.phase, running.ready_since) = (Phase::Ready, Some(now));
        }
    }

    fn end(&mut self, now: Moment, run: Run, why: WhyStopped) {
        let stop = self.policy.stop;
        if let Some((_, running)) = self.find(run) {
            let action = running.stop(now, &stop, why);
            self.actions.extend(action);
        }
    }

    fn exited(&mut self, run: Run, exit: Exit) {
        let Some((at, running)) = self.find(run) else { return };
        if let Some(WhyStopped::Ended { .. }) = running.why_stopped {
            return;
        }
        let expected = running.why_stopped.is_some();
        running.why_stopped = running.why_stopped.or(Some(WhyStopped::Ended { failed: !exit.is_success() }));
        let was_killed = std::mem::replace(&mut running.phase, Phase::Killed) == Phase::Killed;
        self.report(Report::Ended { worker: at as u32, run, exit, expected });
        if !was_killed {
            // Its own process is gone; what that one left behind goes too, before another takes its place.
            self.actions.push(Action::Kill(run));
        }
    }

    fn gone(&mut self, now: Moment, run: Run, chance: f64) {
        let Some((at, _)) = self.find(run) else { return };
        let place = &mut self.places[at];
        let running = place.runs.remove(place.runs.iter().position(|running| running.id == run).expect("it was just found"));
        // Nobody heard how it ended; but it has.
        let why = running.why_stopped.unwrap_or(WhyStopped::Ended { failed: true });
        let works_on = place.runs.iter().any(Running::is_live);
        self.give_up_restart(at, &running);
        if why == WhyStopped::Wish {
            return;
        }
        if self.wants(at) && !works_on {
            self.again(now, at, &running, why != WhyStopped::Ended { failed: false }, chance);
        }
    }

    /// A restart whose new run did not get ready ends there. What was not replaced counts as what was asked for.
    fn give_up_restart(&mut self, at: usize, running: &Running) {
        let Some(restart) = self.restart.filter(|restart| restart.place == at) else { return };
        if running.id <= restart.old || running.ready_since.is_some() {
            return;
        }
        self.restart = None;
        for other in self.places.iter_mut().flat_map(|place| &mut place.runs) {
            other.version = other.version.max(restart.version);
            other.is_stale &= other.id != restart.old;
        }
        if restart.version == self.version {
            self.owes_report = false;
        }
        self.report(Report::RestartFailed { worker: at as u32, run: running.id });
    }

    /// A worker that was wanted has ended: it waits for its next start, or has none.
    fn again(&mut self, now: Moment, at: usize, running: &Running, failed: bool, chance: f64) {
        let Policy { restart, backoff, budget, .. } = &self.policy;
        let (place, worker) = (&mut self.places[at], at as u32);
        if !restart.after(failed) {
            place.given_up = Some(GivenUp::Finished);
            return self.report(Report::Finished { worker });
        }
        while place.restarts.front().is_some_and(|at| at.saturating_add(budget.within_ms) <= now) {
            place.restarts.pop_front();
        }
        if budget.restarts.is_some_and(|most| place.restarts.len() >= most as usize) {
            place.given_up = Some(GivenUp::Spent);
            self.is_wanted = budget.spent != Spent::Process;
            return self.report(Report::Spent { worker });
        }
        if budget.restarts.is_some() {
            place.restarts.push_back(now);
        }
        if running.ready_since.is_some_and(|since| now.saturating_sub(since) >= backoff.reset_ms) {
            place.failures = 0;
        }
        place.failures = place.failures.saturating_add(1);
        let (failures, in_ms) = (place.failures, backoff.delay_ms(place.failures, chance));
        place.not_before = now.saturating_add(in_ms);
        self.report(Report::Again { worker, in_ms, failures });
    }

    /// Whose time is over goes to its next phase.
    fn overdue(&mut self, now: Moment) {
        let stop = self.policy.stop;
        for (at, place) in self.places.iter_mut().enumerate() {
            for running in place.runs.iter_mut().filter(|running| running.deadline().is_some_and(|deadline| deadline <= now)) {
                let (worker, run) = (at as u32, running.id);
                match running.phase {
                    Phase::Starting { .. } => {
                        self.actions.push(Action::Report(Report::NotReady { worker, run }));
                        self.actions.extend(running.stop(now, &stop, WhyStopped::Failure));
                    }
                    Phase::Asked { .. } => self.actions.push(running.tell(now, &stop)),
                    Phase::Told { .. } => {
                        running.phase = Phase::Killed;
                        self.actions.extend([Action::Report(Report::Overdue { worker, run }), Action::Kill(run)]);
                    }
                    Phase::Ready | Phase::Killed => unreachable!("they have no deadline"),
                }
            }
        }
    }

    /// Brings what is there nearer to what is wanted.
    fn follow(&mut self, now: Moment) {
        while self.places.len() < self.workers as usize {
            self.places.push(Place::default());
        }
        for at in 0..self.places.len() {
            if !self.wants(at) {
                self.stop_place(now, at);
            } else if self.places[at].runs.is_empty() && self.places[at].not_before <= now {
                self.spawn(now, at);
            }
        }
        while self.places.len() > self.workers as usize && self.places.last().is_some_and(|place| place.runs.is_empty()) {
            self.places.pop();
        }
        self.replace(now);
    }

    fn stop_place(&mut self, now: Moment, at: usize) {
        for running in &mut self.places[at].runs {
            self.actions.extend(running.stop(now, &self.policy.stop, WhyStopped::Wish));
        }
    }

    fn spawn(&mut self, now: Moment, at: usize) {
        let (run, worker) = (Run(self.next_run), at as u32);
        self.next_run += 1;
        let phase = Phase::Starting { ready_by: self.policy.ready_ms.map(|ms| now.saturating_add(ms)) };
        let running = Running { id: run, version: self.version, is_stale: false, phase, ready_since: None, why_stopped: None };
        self.places[at].runs.push(running);
        self.actions.push(Action::Spawn { worker, run });
    }

    /// Carries a restart on, one place at a time.
    fn replace(&mut self, now: Moment) {
        if !self.is_wanted {
            (self.restart, self.owes_report) = (None, false);
            return;
        }
        if let Some(restart) = self.restart {
            if self.is_under_way(now, restart) {
                return;
            }
            self.restart = None;
        }
        match self.next_old() {
            Some((place, old)) => {
                self.restart = Some(Replacing { place, old, version: self.version });
                if self.policy.overlap && self.places[place].runs.len() == 1 {
                    self.spawn(now, place);
                } else {
                    self.stop_place(now, place);
                }
            }
            None if self.owes_report && self.has_come_up() => {
                self.owes_report = false;
                self.report(Report::Restarted);
            }
            None => {}
        }
    }

    /// Who is to be replaced next.
    fn next_old(&self) -> Option<(usize, Run)> {
        let is_old = |running: &&Running| running.is_live() && (running.is_stale || running.version < self.version);
        let wanted = (0..self.places.len()).filter(|at| self.wants(*at));
        wanted.into_iter().find_map(|at| Some((at, self.places[at].runs.iter().find(is_old)?.id)))
    }

    /// Whether the old one is still there, or nobody is ready in its place.
    fn is_under_way(&mut self, now: Moment, Replacing { place: at, old, .. }: Replacing) -> bool {
        if at >= self.places.len() || !self.wants(at) {
            return false;
        }
        let runs = &mut self.places[at].runs;
        let is_replaced = runs.iter().any(|running| running.id > old && running.phase == Phase::Ready);
        let Some(running) = runs.iter_mut().find(|running| running.id == old) else { return !is_replaced };
        if is_replaced {
            let action = running.stop(now, &self.policy.stop, WhyStopped::Wish);
            self.actions.extend(action);
        }
        true
    }

    /// Whether every worker that is wanted is ready.
    fn has_come_up(&self) -> bool {
        let wanted = (0..self.places.len()).filter(|at| self.wants(*at));
        wanted.into_iter().all(|at| matches!(&self.places[at].runs[..], [Running { phase: Phase::Ready, .. }]))
    }

    fn report(&mut self, report: Report) {
        self.actions.push(Action::Report(report));
    }
}

#[cfg(test)]
mod tests;
