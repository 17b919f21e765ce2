//! A random walk: wishes at any moment, workers that come up, crash, hang, leave processes behind and die slowly, a clock that jumps.
//!
//! The world obeys the plan and keeps its own books. After every step: no two runs in a place but for one restart with overlap; nobody
//! who should not run was left untold, and nobody who was told lives past its time; nobody is started before its backoff is over,
//! nor while unwanted; the plan wakes whenever it waits for time, and never for nothing. When the world calms down, there is what
//! the newest wish wanted.
//!
//! A failure prints its seed. More of it: `BURSAR_SIM_SEED=7 BURSAR_SIM_SEEDS=100000 cargo test -p bursar-supervisor walk`

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const STEPS: usize = 400;

/// How late the plan may be told of the time.
const LATE_MS: u64 = 150;

#[test]
fn walk() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a number, not {text:?}")))
    };
    let (first, seeds) = (number("BURSAR_SIM_SEED", 1), number("BURSAR_SIM_SEEDS", 1000));
    let mut seen = BTreeSet::new();
    for seed in first..first + seeds {
        let run = std::panic::catch_unwind(|| World::new(seed).run());
        match run {
            Ok(reports) => seen.extend(reports),
            Err(panic) => {
                eprintln!("the walk failed with BURSAR_SIM_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    if seeds >= 1000 {
        let all = ["Again", "Ended", "Finished", "NotReady", "Overdue", "RestartFailed", "Restarted", "Spent"];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), all, "the walk comes everywhere");
    }
}

struct World {
    random: fastrand::Rng,
    policy: Policy,
    plan: Plan,
    now: Moment,
    is_wanted: bool,
    workers: u32,
    /// What runs, or has left something behind.
    runs: BTreeMap<Run, Process>,
    places: Vec<Known>,
    /// What was started from here on is new enough for the last restart; none, if it was given up or there was none.
    new_from: Option<Run>,
    latest: Run,
    reports: BTreeSet<&'static str>,
    story: Vec<String>,
}

struct Process {
    worker: u32,
    has_started: bool,
    ready_since: Option<Moment>,
    told_at: Option<Moment>,
    was_killed: bool,
    has_exited: bool,
}

/// What one may know of a place from outside.
#[derive(Clone, Copy, Default)]
struct Known {
    not_before: Moment,
    failures: u32,
    is_given_up: bool,
    /// The run that went last had been ready for long.
    was_healthy: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        let policy = Policy {
            restart: [Restart::Never, Restart::OnFailure, Restart::Always, Restart::UnlessStopped][random.usize(0..4)],
            backoff: Backoff { first_ms: 100, max_ms: 1500, jitter: 0.3, reset_ms: 1000 },
            budget: Budget {
                restarts: random.bool().then(|| random.u32(0..6)),
                within_ms: 5000,
                spent: if random.bool() { Spent::Worker } else { Spent::Process },
            },
            stop: Stop { ask_ms: random.bool().then_some(200), signal: 15, timeout_ms: random.u64(0..3) * 300 },
            ready_ms: random.bool().then_some(400),
            overlap: random.bool(),
        };
        let (workers, is_wanted) = (random.u32(0..5), random.bool());
        World {
            random,
            plan: Plan::new(policy.clone(), workers, is_wanted),
            policy,
            now: 10,
            is_wanted,
            workers,
            runs: BTreeMap::new(),
            places: Vec::new(),
            new_from: None,
            latest: Run(0),
            reports: BTreeSet::new(),
            story: Vec::new(),
        }
    }

    fn run(mut self) -> BTreeSet<&'static str> {
        self.step(Input::Time);
        for _ in 0..STEPS {
            let input = self.input();
            self.step(input);
        }
        self.calm();
        self.reports
    }

    /// Something that may happen now.
    fn input(&mut self) -> Input {
        match self.random.u8(0..10) {
            0 => Input::Wish(self.wish()),
            1..4 => {
                let wake = self.plan.wake_at().filter(|_| self.random.bool());
                self.now = wake.unwrap_or_else(|| self.now + self.random.u64(0..LATE_MS)).max(self.now);
                Input::Time
            }
            _ => self.event().unwrap_or(Input::Time),
        }
    }

    fn wish(&mut self) -> Wish {
        match self.random.u8(0..14) {
            0..3 => Wish::Start,
            3..5 => Wish::Stop,
            5 => Wish::Kill,
            6..9 => Wish::Restart,
            9 => Wish::RestartOne(self.random.u32(0..5)),
            10..13 => Wish::Scale(self.random.u32(0..5)),
            _ => Wish::Signal(10),
        }
    }

    /// Something that one of the runs may do; also once in a while one that is long over.
    fn event(&mut self) -> Option<Input> {
        if self.runs.is_empty() {
            return None;
        }
        let run = *self.runs.keys().nth(self.random.usize(0..self.runs.len())).unwrap();
        if self.random.u8(0..50) == 0 {
            let over = Run(self.random.u64(0..run.0));
            return (!self.runs.contains_key(&over)).then_some(Input::Exited(over, crash()));
        }
        let kind = self.random.u8(0..13);
        let process = &self.runs[&run];
        Some(match kind {
            _ if process.has_exited && process.was_killed => Input::Gone(run),
            // Whoever watched it was killed with it: nobody heard how it ended.
            0 if process.was_killed => Input::Gone(run),
            _ if process.was_killed => Input::Exited(run, Exit::Signal { number: 9, core: false }),
            0 if !process.has_started => Input::Exited(run, Exit::NotRun("no such file".into())),
            _ if !process.has_started => Input::Started(run),
            1..6 => Input::Ready(run),
            6 => Input::Unhealthy(run),
            7 => Input::Exited(run, Exit::Code(0)),
            8 => Input::Exited(run, crash()),
            9 => Input::End(run),
            10.. if process.told_at.is_some() => Input::Exited(run, Exit::Signal { number: 15, core: false }),
            _ => return None,
        })
    }

    fn step(&mut self, input: Input) {
        self.story.push(format!("{} {input:?}", self.now));
        self.note(&input);
        let chance = self.random.f64();
        let actions = self.plan.step(self.now, input.clone(), chance);
        self.story.push(format!("    {actions:?}"));
        if let Input::Wish(Wish::Signal(signal)) = input {
            let told = |run: &Run| actions.contains(&Action::Signal(*run, signal));
            assert!(self.runs.iter().all(|(run, process)| process.was_killed || told(run)), "{}", self.told());
        }
        for action in actions {
            self.obey(action);
        }
        while self.places.len() > self.workers as usize && !self.has_runs(self.places.len() - 1) {
            self.places.pop();
        }
        self.check();
    }

    /// What the input says, into the books.
    fn note(&mut self, input: &Input) {
        match input {
            Input::Wish(Wish::Start) => self.want(),
            Input::Wish(Wish::Stop | Wish::Kill) => self.is_wanted = false,
            Input::Wish(Wish::Restart) => {
                self.want();
                self.new_from = Some(Run(self.latest.0 + 1));
            }
            Input::Wish(Wish::RestartOne(worker)) => {
                if let Some(known) = self.places.get_mut(*worker as usize) {
                    *known = Known::default();
                }
            }
            Input::Wish(Wish::Scale(workers)) => self.workers = *workers,
            Input::Started(run) | Input::Ready(run) => {
                if let Some(process) = self.runs.get_mut(run) {
                    process.has_started = true;
                    let is_ready = matches!(input, Input::Ready(_)) || self.policy.ready_ms.is_none();
                    if is_ready && process.told_at.is_none() && !process.was_killed && process.ready_since.is_none() {
                        process.ready_since = Some(self.now);
                    }
                }
            }
            Input::Exited(run, _) => {
                if let Some(process) = self.runs.get_mut(run) {
                    process.has_exited = true;
                }
            }
            Input::Gone(run) => self.remove(*run),
            Input::Wish(Wish::Signal(_) | Wish::SignalOne(..))
            | Input::Unhealthy(_)
            | Input::End(_)
            | Input::Policy(_)
            | Input::Time => {}
        }
    }

    fn remove(&mut self, run: Run) {
        let process = self.runs.remove(&run).expect("only what is there goes");
        let healthy = process.ready_since.is_some_and(|since| self.now - since >= self.policy.backoff.reset_ms);
        if let Some(known) = self.places.get_mut(process.worker as usize) {
            known.was_healthy = healthy;
        }
    }

    fn want(&mut self) {
        self.is_wanted = true;
        self.places.fill(Known::default());
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Spawn { worker, run } => self.spawn(worker, run),
            Action::Ask(run) => self.tell(run),
            Action::Signal(run, 15) if self.policy.stop.ask_ms.is_none() => self.tell(run),
            Action::Signal(run, _) => assert!(self.runs.contains_key(&run), "nobody is there to be told; {}", self.told()),
            Action::Kill(run) => {
                let process = self.runs.get_mut(&run).expect("nobody is there to be killed");
                assert!(!std::mem::replace(&mut process.was_killed, true), "killed twice; {}", self.told());
            }
            Action::Report(report) => self.hear(report),
        }
    }

    fn tell(&mut self, run: Run) {
        let process = self.runs.get_mut(&run).expect("nobody is there to be told");
        assert!(process.told_at.replace(self.now).is_none(), "told twice; {}", self.told());
    }

    fn spawn(&mut self, worker: u32, run: Run) {
        assert!(run > self.latest, "a number that was there before; {}", self.told());
        self.latest = run;
        assert!(self.is_wanted && worker < self.workers, "nobody wants worker {worker}; {}", self.told());
        let place = worker as usize;
        if place >= self.places.len() {
            self.places.resize(place + 1, Known::default());
        }
        let Known { not_before, is_given_up, .. } = self.places[place];
        assert!(not_before <= self.now && !is_given_up, "too early for worker {worker}; {}", self.told());
        let process =
            Process { worker, has_started: false, ready_since: None, told_at: None, was_killed: false, has_exited: false };
        self.runs.insert(run, process);
    }

    fn hear(&mut self, report: Report) {
        let text = format!("{report:?}");
        let names = ["Ended", "Overdue", "NotReady", "Again", "Finished", "Spent", "RestartFailed", "Restarted"];
        self.reports.extend(names.into_iter().find(|name| text.split(' ').next() == Some(name)));
        match report {
            Report::Again { worker, in_ms, failures } => {
                let backoff = self.policy.backoff;
                let known = &mut self.places[worker as usize];
                known.failures = if known.was_healthy { 1 } else { known.failures + 1 };
                known.not_before = self.now + in_ms;
                let is_counted = known.failures == failures;
                assert!(is_counted, "failures of worker {worker}; {}", self.told());
                let (least, most) = (backoff.delay_ms(failures, 1.0), backoff.delay_ms(failures, 0.0));
                assert!((least..=most).contains(&in_ms), "backoff of worker {worker}; {}", self.told());
            }
            Report::Finished { worker } => self.places[worker as usize].is_given_up = true,
            Report::Spent { worker } => {
                self.places[worker as usize].is_given_up = true;
                self.is_wanted &= self.policy.budget.spent == Spent::Worker;
            }
            Report::RestartFailed { .. } => self.new_from = None,
            Report::Ended { .. } | Report::Overdue { .. } | Report::NotReady { .. } | Report::Restarted => {}
        }
    }

    fn has_runs(&self, place: usize) -> bool {
        self.runs.values().any(|process| process.worker as usize == place)
    }

    fn check(&self) {
        self.check_places();
        self.check_stops();
        assert!(self.plan.wake_at().is_none_or(|wake| wake > self.now), "it wakes for nothing; {}", self.told());
        assert_eq!(self.plan.is_wanted(), self.is_wanted, "{}", self.told());
        assert_eq!(self.plan.is_down(), self.runs.is_empty());
        for place in 0..self.workers as usize {
            let known = self.places.get(place).copied().unwrap_or_default();
            if self.is_wanted && !known.is_given_up && !self.has_runs(place) {
                let wake = self.plan.wake_at();
                assert!(wake.is_some_and(|wake| wake <= known.not_before), "worker {place} is forgotten; {}", self.told());
            }
        }
    }

    fn check_places(&self) {
        let mut replaced = 0;
        for place in 0..self.places.len() {
            let runs = || self.runs.values().filter(|process| process.worker as usize == place);
            let count = runs().count();
            assert!(count <= 1 + usize::from(self.policy.overlap), "{count} runs of worker {place}; {}", self.told());
            let working = runs().filter(|process| process.told_at.is_none() && !process.was_killed).count();
            replaced += usize::from(working > 1);
        }
        assert!(replaced <= 1, "two places at once are being replaced; {}", self.told());
    }

    fn check_stops(&self) {
        let Stop { ask_ms, timeout_ms, .. } = self.policy.stop;
        for (run, process) in &self.runs {
            let is_told = process.told_at.is_some() || process.was_killed;
            let is_wanted = self.is_wanted && process.worker < self.workers;
            assert!(is_wanted || is_told, "{run:?} was not told to stop; {}", self.told());
            assert!(!process.has_exited || process.was_killed, "what {run:?} left behind lives on; {}", self.told());
            let Some(told_at) = process.told_at.filter(|_| !process.was_killed) else { continue };
            // Who looks late is late in each of the two phases.
            let until = told_at + ask_ms.unwrap_or(0) + timeout_ms + 2 * LATE_MS;
            assert!(self.now < until, "{run:?} lives too long; {}", self.told());
            let wakes = self.plan.wake_at().is_some_and(|wake| wake <= until);
            assert!(wakes, "nobody wakes to kill {run:?}; {}", self.told());
        }
    }

    /// Nobody wishes anything any more, and no worker does anything wrong.
    fn calm(&mut self) {
        for _ in 0..1000 {
            let next = self.runs.iter().find_map(|(run, process)| match process {
                Process { has_exited: true, was_killed: true, .. } => Some(Input::Gone(*run)),
                Process { was_killed: true, .. } => Some(Input::Exited(*run, Exit::Signal { number: 9, core: false })),
                Process { told_at: Some(_), .. } => Some(Input::Exited(*run, Exit::Code(0))),
                Process { ready_since: None, .. } => Some(Input::Ready(*run)),
                _ => None,
            });
            let input = match (next, self.plan.wake_at()) {
                (Some(input), _) => input,
                (None, Some(wake)) => {
                    self.now = wake;
                    Input::Time
                }
                (None, None) => break,
            };
            self.step(input);
        }
        assert_eq!(self.plan.wake_at(), None, "it does not come to rest; {}", self.told());
        let given_up = self.places.iter().filter(|known| known.is_given_up).count();
        let wanted = if self.is_wanted { self.workers as usize - given_up } else { 0 };
        assert_eq!(self.runs.len(), wanted, "the newest wish; {}", self.told());
        assert!(self.runs.values().all(|process| process.ready_since.is_some()), "{}", self.told());
        let is_new = |run: &Run| self.new_from.is_none_or(|new_from| *run >= new_from);
        assert!(self.runs.keys().all(is_new), "the last restart left somebody out; {}", self.told());
    }

    fn told(&self) -> String {
        format!("{:?}\n{}\n{:#?}", self.policy, self.story.join("\n"), self.plan)
    }
}
