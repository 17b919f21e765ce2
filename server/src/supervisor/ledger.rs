//! What is known of one process: what it is to be, where it is on its course, how its workers are, how their runs ended. Shared by who keeps
//! the process, who decides about it and who asks; it does nothing by itself.

mod notices;
mod view;

use super::{World, course::Phase, memory_kills::MemoryKills, notify::NotifySocket, order::Step};
use bursar::processes::{Activity, Exit, Spec};
use bursar_supervisor::{
    Program, States,
    output::LogFile,
    plan::{Run, State},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::{Notify, watch};

/// See the [module](self).
pub struct Ledger {
    pub name: String,
    pub world: Arc<World>,
    /// Short sections, in which nothing is called that waits.
    facts: Mutex<Facts>,
    /// How often it has changed, for who waits for something.
    changes: watch::Sender<u64>,
    /// There is something to do for its keeper.
    pub work: Notify,
}

/// What is written in it.
pub struct Facts {
    pub spec: Spec,
    pub goal: Goal,
    /// What its keeper has done about the goal.
    pub done: Done,
    /// By the newest wish.
    pub is_wanted: bool,
    pub waits_for: Vec<String>,
    /// Nothing of it is to be left, and then it is forgotten.
    pub is_removed: bool,
    /// It is.
    pub is_forgotten: bool,
    /// As the mechanics have them.
    pub states: States,
    /// Where workers run or ran, by number.
    pub places: BTreeMap<u32, Place>,
    pub runs: BTreeMap<Run, Running>,
    /// Runs that are to be asked to stop.
    pub asks: Vec<Run>,
    /// How the last restart ended, until its keeper has seen it.
    pub has_restarted: Option<bool>,
    /// A budget is spent that was everybody's.
    pub is_everything_spent: bool,
    /// As many as its queue needs, if it has one and that is known.
    pub scaled: Option<u32>,
}

/// What it was told. The newest word counts; what is done once is taken.
#[derive(Clone, Debug, Default)]
pub struct Goal {
    /// Grows with each word that changes what counts for others.
    pub version: u64,
    pub is_up: bool,
    pub again: bool,
    pub kill: bool,
    pub restart: Option<Restarting>,
}

/// Whose workers are to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restarting {
    All,
    Some(BTreeSet<u32>),
}

/// How far its keeper is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The goal up to which it has done what it was told.
    pub version: u64,
    pub phase: Phase,
    /// A restart is under way.
    pub is_restarting: bool,
}

/// Where one worker runs.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub starts: u64,
    pub started_ms: u64,
    /// Which run ended so, among those of all processes.
    pub last_run: u64,
    pub last_exit: Option<Exit>,
    pub status: String,
    /// Where its output goes, besides memory.
    pub log: Option<Arc<LogFile>>,
}

/// One run of a worker.
pub struct Running {
    pub worker: u32,
    /// Its number among those of all processes.
    pub number: u64,
    pub keeper: Option<u32>,
    pub pid: Option<u32>,
    /// What it was started with.
    pub program: Program,
    /// Until somebody listens there.
    pub notify: Option<NotifySocket>,
    /// What it said of itself.
    pub said: Said,
    /// Whether its readiness and its liveness say so now.
    pub is_fit: Fit,
    memory: Option<MemoryKills>,
    /// How its own process ended.
    exit: Option<Exit>,
}

/// What a run said of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    pub is_ready: bool,
    /// Since somebody looked last.
    pub is_alive: bool,
}

/// What its checks say.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    pub is_ready: bool,
    pub is_live: bool,
}

impl Ledger {
    pub fn new(spec: Spec, world: Arc<World>) -> Arc<Ledger> {
        let facts = Facts {
            goal: Goal::default(),
            done: Done::default(),
            is_wanted: false,
            waits_for: Vec::new(),
            is_removed: false,
            is_forgotten: false,
            states: States::default(),
            places: BTreeMap::new(),
            runs: BTreeMap::new(),
            asks: Vec::new(),
            has_restarted: None,
            is_everything_spent: false,
            scaled: None,
            spec,
        };
        let name = facts.spec.name.clone();
        Arc::new(Ledger { name, world, facts: Mutex::new(facts), changes: watch::channel(0).0, work: Notify::new() })
    }

    /// What is written.
    pub fn look<R>(&self, read: impl FnOnce(&Facts) -> R) -> R {
        read(&self.facts.lock())
    }

    /// Writes, and tells everybody whom it may concern.
    pub fn write<R>(&self, write: impl FnOnce(&mut Facts) -> R) -> R {
        let result = write(&mut self.facts.lock());
        self.changes.send_modify(|changes| *changes += 1);
        self.work.notify_one();
        self.world.nudge.notify_one();
        result
    }

    /// Something happened to it.
    pub fn tell(&self, activity: Activity) {
        self.world.history.tell(Activity { process: self.name.clone(), ..activity });
    }

    /// Something happened to one of its workers, or to all of it.
    pub fn say(&self, worker: Option<u32>, what: &str, text: impl Into<String>) {
        self.tell(Activity { worker, what: what.into(), text: text.into(), ..Activity::default() });
    }

    /// Waits until it is so.
    pub async fn until(&self, mut is_so: impl FnMut(&Facts) -> bool) {
        let mut changes = self.changes.subscribe();
        while !self.look(&mut is_so) {
            // Its sender is here.
            let _ = changes.changed().await;
        }
    }

    /// What it is told by the order.
    pub fn obey(&self, step: Step) {
        self.write(|facts| {
            let goal = &mut facts.goal;
            match step {
                Step::Up => (goal.is_up, goal.version) = (true, goal.version + 1),
                Step::Down => (goal.is_up, goal.version) = (false, goal.version + 1),
                Step::Kill => (goal.is_up, goal.kill, goal.version) = (false, true, goal.version + 1),
                Step::Again => (goal.again, goal.version) = (true, goal.version + 1),
                Step::Restart(None) => goal.restart = Some(Restarting::All),
                Step::Restart(Some(worker)) => match goal.restart.get_or_insert(Restarting::Some(BTreeSet::new())) {
                    Restarting::All => {}
                    Restarting::Some(workers) => _ = workers.insert(worker),
                },
            }
        });
    }

    /// What the order knows of it; says so, if that is new.
    pub fn show_order(&self, is_wanted: bool, waits_for: Vec<String>) {
        if self.look(|facts| facts.is_wanted == is_wanted && facts.waits_for == waits_for) {
            return;
        }
        let is_new = !waits_for.is_empty() && self.look(|facts| facts.waits_for != waits_for);
        if is_new {
            self.say(None, "waits-for", format!("waits for {}", waits_for.join(", ")));
        }
        self.write(|facts| (facts.is_wanted, facts.waits_for) = (is_wanted, waits_for));
    }

    /// The workers are so now.
    pub fn show(&self, states: States) {
        let is_ready = |states: &States, at: usize| states.workers.get(at).is_some_and(|worker| worker.state == State::Ready);
        let pid = |at: usize| states.workers.get(at).and_then(|worker| worker.pid);
        let became: Vec<usize> = self.look(|facts| {
            (0..states.workers.len()).filter(|at| is_ready(&states, *at) && !is_ready(&facts.states, *at)).collect()
        });
        for at in became {
            let what = Activity { worker: Some(at as u32), what: "ready".into(), text: "is up".into(), ..Activity::default() };
            self.tell(Activity { pid: pid(at), ..what });
        }
        if self.look(|facts| facts.states != states) {
            self.write(|facts| facts.states = states);
        }
    }

    /// Where a run says how it is, for who listens there from now on.
    pub fn take_notify(&self, run: Run) -> Option<NotifySocket> {
        self.facts.lock().runs.get_mut(&run)?.notify.take()
    }
}

impl Running {
    /// Its own process has ended.
    pub fn has_exited(&self) -> bool {
        self.exit.is_some()
    }
}
