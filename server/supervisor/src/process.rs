//! One process at work: a plan that is carried out on real trees, by a real clock. It decides nothing itself.
//!
//! ```text
//!   wishes ──► actor (plan, clock, chance) ── start, signal, kill ──► one task for each tree
//!                 ▲────────────────────────── started, exited, gone ──────┘   └─ outputs
//! ```

use crate::{
    Event, Exit, Policy, Program, Tree,
    output::{LogFile, Output},
    plan::{Action, Input, Moment, Plan, Report, Run, State, Wish},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    process::{ChildStderr, ChildStdout},
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};

/// How many wishes may wait for the actor, and how many events of trees. It answers in microseconds: who finds them full waits.
const WAITING_MAX: usize = 64;

/// How much is kept of each output of a worker, for who looks and for its last words.
const OUTPUT_BYTES: usize = 256 << 10;

/// How many lines of stderr are told when a worker has ended.
const LAST_LINES: usize = 20;

/// How long one waits for the end of the outputs when nothing of a tree is left. They end at once, unless somebody else has them open.
const OUTPUT_END: Duration = Duration::from_millis(100);

/// What a process needs of who keeps it. All of it is called in the process's task, and must not wait.
pub trait Host: Send + 'static {
    /// What is to be run in this place. Asked for each run, so that each may have an environment of its own.
    fn program(&mut self, worker: u32, run: Run) -> Program;

    /// Where the output of this place goes, besides memory.
    fn log(&mut self, worker: u32) -> Option<Arc<LogFile>> {
        let _ = worker;
        None
    }

    /// Asks a run by message to end, if the policy says that it is asked.
    fn ask(&mut self, run: Run) {
        let _ = run;
    }

    /// Something happened that somebody may want to know.
    fn notice(&mut self, notice: Notice) {
        let _ = notice;
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Notice {
    Report(Report),
    /// Its command runs.
    Started {
        worker: u32,
        run: Run,
        pid: u32,
    },
    /// Nothing of it is left. What it wrote to stderr at last, the oldest line first.
    Gone {
        worker: u32,
        run: Run,
        last_lines: Vec<String>,
    },
}

/// A worker, for who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// What the plan says of it.
    pub state: State,
    /// The number of its newest run's own process, while that is there.
    pub pid: Option<u32>,
}

/// What a worker writes, over all its runs.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// Its stdout.
    pub stdout: Arc<Output>,
    /// Its stderr.
    pub stderr: Arc<Output>,
}

/// A command that is kept running in a number of workers. Dropped, all of them are killed, in the background.
///
/// ```standalone_crate
/// use bursar_supervisor::{Host, Policy, Process, Program, plan::{Run, State, Wish}};
///
/// struct Sleepers;
///
/// impl Host for Sleepers {
///     fn program(&mut self, worker: u32, _: Run) -> Program {
///         let number = ("WORKER".into(), worker.to_string().into());
///         Program { environment: vec![number], ..Program::new("sleep", ["1000"]) }
///     }
/// }
///
/// fn main() -> std::io::Result<()> {
///     bursar_supervisor::enter(); // first of all
///     tokio::runtime::Runtime::new()?.block_on(async {
///         let process = Process::start(Policy::default(), 2, true, Sleepers);
///         process.wish(Wish::Scale(3)).await;
///         process.until(|workers| workers.len() == 3 && workers.iter().all(|worker| worker.state == State::Ready)).await;
///         process.stop().await; // nothing of them is left
///         Ok(())
///     })
/// }
/// ```
#[derive(Debug)]
pub struct Process {
    inputs: mpsc::Sender<Input>,
    workers: watch::Receiver<Vec<Worker>>,
    outputs: Arc<Mutex<Vec<Outputs>>>,
    actor: AbortHandle,
}

impl Process {
    /// Starts the workers, if they are wanted now; otherwise they wait for a wish. Inside of a tokio runtime only.
    pub fn start(policy: Policy, workers: u32, is_wanted: bool, host: impl Host) -> Process {
        let (inputs, wishes) = mpsc::channel(WAITING_MAX);
        let (events, heard) = mpsc::channel(WAITING_MAX);
        let (states, seen) = watch::channel(Vec::new());
        let outputs = Arc::<Mutex<Vec<Outputs>>>::default();
        let actor = Actor {
            plan: Plan::new(policy, workers, is_wanted),
            host,
            start: Instant::now(),
            random: fastrand::Rng::new(),
            runs: BTreeMap::new(),
            tasks: JoinSet::new(),
            outputs: outputs.clone(),
            events,
            states,
        };
        let actor = tokio::spawn(actor.run(wishes, heard)).abort_handle();
        Process { inputs, workers: seen, outputs, actor }
    }

    /// The newest wish wins. Returns when it is taken, which does not mean fulfilled.
    pub async fn wish(&self, wish: Wish) {
        self.tell(Input::Wish(wish)).await;
    }

    /// Somebody knows something of a run: that it is ready, or that it does not work.
    pub async fn tell(&self, input: Input) {
        // It listens as long as this is there.
        let _ = self.inputs.send(input).await;
    }

    /// How the workers are now, by their numbers.
    pub fn workers(&self) -> Vec<Worker> {
        self.workers.borrow().clone()
    }

    /// Waits until the workers are as somebody wants to see them. Never, if they never are.
    pub async fn until(&self, is_so: impl FnMut(&Vec<Worker>) -> bool) {
        let mut is_so = is_so;
        let mut workers = self.workers.clone();
        if workers.wait_for(|workers| is_so(workers)).await.is_err() {
            std::future::pending().await
        }
    }

    /// What a worker writes; none, if it was never started.
    pub fn outputs(&self, worker: u32) -> Option<Outputs> {
        self.outputs.lock().get(worker as usize).cloned()
    }

    /// Stops the workers, each in its time, and waits until nothing of them is left.
    pub async fn stop(self) {
        self.wish(Wish::Stop).await;
        self.until(|workers| workers.iter().all(|worker| worker.is_down())).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its trees are dropped with it.
        self.actor.abort();
    }
}

impl Worker {
    /// Whether nothing of it runs, and nothing is to.
    pub fn is_down(&self) -> bool {
        matches!(self.state, State::Stopped | State::Finished | State::Spent)
    }
}

struct Actor<H> {
    plan: Plan,
    host: H,
    start: Instant,
    random: fastrand::Rng,
    runs: BTreeMap<Run, Attended>,
    tasks: JoinSet<()>,
    outputs: Arc<Mutex<Vec<Outputs>>>,
    events: mpsc::Sender<Told>,
    states: watch::Sender<Vec<Worker>>,
}

/// A run, as the actor knows it.
struct Attended {
    worker: u32,
    pid: Option<u32>,
    /// Signals for it. Its end is what kills.
    signals: Option<mpsc::Sender<i32>>,
}

/// A tree in its task.
struct Attendance {
    run: Run,
    tree: Tree,
    outputs: Outputs,
    log: Option<Arc<LogFile>>,
    signals: mpsc::Receiver<i32>,
}

/// What such a task tells: an event of its tree; with the last, the last lines of stderr.
struct Told {
    run: Run,
    event: Event,
    last_lines: Vec<String>,
}

impl<H: Host> Actor<H> {
    async fn run(mut self, mut wishes: mpsc::Receiver<Input>, mut heard: mpsc::Receiver<Told>) {
        self.apply(Input::Time);
        loop {
            let wake_at = self.plan.wake_at();
            let input = tokio::select! {
                Some(input) = wishes.recv() => input,
                Some(told) = heard.recv() => self.hear(told),
                () = sleep_until(self.instant(wake_at.unwrap_or(0))), if wake_at.is_some() => Input::Time,
                Some(_) = self.tasks.join_next() => continue,
            };
            self.apply(input);
        }
    }

    fn now(&self) -> Moment {
        self.start.elapsed().as_millis() as Moment
    }

    fn instant(&self, moment: Moment) -> Instant {
        self.start + Duration::from_millis(moment)
    }

    fn hear(&mut self, Told { run, event, last_lines }: Told) -> Input {
        let attended = self.runs.get_mut(&run).expect("a tree is heard until it is gone");
        let worker = attended.worker;
        match event {
            Event::Started { pid } => {
                attended.pid = Some(pid);
                self.host.notice(Notice::Started { worker, run, pid });
                Input::Started(run)
            }
            Event::Exited(exit) => {
                attended.pid = None;
                Input::Exited(run, exit)
            }
            Event::Gone => {
                self.runs.remove(&run);
                self.host.notice(Notice::Gone { worker, run, last_lines });
                Input::Gone(run)
            }
        }
    }

    fn apply(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let (now, chance) = (self.now(), self.random.f64());
            for action in self.plan.step(now, input, chance) {
                inputs.extend(self.carry_out(action));
            }
        }
        self.show();
    }

    /// What comes of it at once.
    fn carry_out(&mut self, action: Action) -> Vec<Input> {
        match action {
            Action::Spawn { worker, run } => {
                if let Err(exit) = self.spawn(worker, run) {
                    return vec![Input::Exited(run, exit), Input::Gone(run)];
                }
            }
            Action::Ask(run) => self.host.ask(run),
            Action::Signal(run, signal) => {
                if let Some(signals) = self.runs.get(&run).and_then(|attended| attended.signals.as_ref()) {
                    // Full, only if thousands come faster than its task runs; then killing is what is left.
                    let _ = signals.try_send(signal);
                }
            }
            Action::Kill(run) => {
                if let Some(attended) = self.runs.get_mut(&run) {
                    attended.signals = None;
                }
            }
            Action::Report(report) => self.host.notice(Notice::Report(report)),
        }
        Vec::new()
    }

    fn spawn(&mut self, worker: u32, run: Run) -> Result<(), Exit> {
        let program = self.host.program(worker, run);
        let started = program.start().map_err(|error| Exit::not_run(&program.command.to_string_lossy(), &error));
        let (tree, stdout, stderr) = started?;
        let (signals, received) = mpsc::channel(WAITING_MAX);
        self.runs.insert(run, Attended { worker, pid: None, signals: Some(signals) });
        let attendance =
            Attendance { run, tree, outputs: self.outputs_of(worker), log: self.host.log(worker), signals: received };
        self.tasks.spawn(attendance.run(stdout, stderr, self.events.clone()));
        Ok(())
    }

    fn outputs_of(&self, worker: u32) -> Outputs {
        let mut outputs = self.outputs.lock();
        let output = || Arc::new(Output::new(OUTPUT_BYTES));
        while outputs.len() <= worker as usize {
            outputs.push(Outputs { stdout: output(), stderr: output() });
        }
        outputs[worker as usize].clone()
    }

    fn show(&self) {
        let states = self.plan.states().into_iter().zip(0..);
        let pid = |worker| self.runs.values().rev().find(|attended| attended.worker == worker).and_then(|attended| attended.pid);
        let workers: Vec<Worker> = states.map(|(state, worker)| Worker { state, pid: pid(worker) }).collect();
        self.states.send_if_modified(|shown| {
            let is_other = *shown != workers;
            *shown = workers;
            is_other
        });
    }
}

impl<H> Drop for Actor<H> {
    fn drop(&mut self) {
        for Outputs { stdout, stderr } in self.outputs.lock().iter() {
            stdout.end();
            stderr.end();
        }
    }
}

impl Attendance {
    /// Until nothing is left of the tree. Passes signals on, reads the outputs, tells.
    async fn run(self, from_stdout: ChildStdout, from_stderr: ChildStderr, events: mpsc::Sender<Told>) {
        let Attendance { run, mut tree, outputs: Outputs { stdout, stderr }, log, mut signals } = self;
        let said_before = stderr.written();
        let drained = async {
            let (stdout, stderr) =
                tokio::join!(stdout.drain(from_stdout, log.as_deref()), stderr.drain(from_stderr, log.as_deref()));
            if let Err(error) = stdout.and(stderr) {
                tracing::warn!(run = run.0, %error, "the output of a worker cannot be read any more");
            }
        };
        let mut drained = pin!(drained);
        let (mut is_drained, mut is_killed) = (false, false);
        loop {
            let event = tokio::select! {
                signal = signals.recv(), if !is_killed => {
                    match signal {
                        Some(signal) => tree.signal(signal),
                        None => {
                            is_killed = true;
                            tree.kill();
                        }
                    }
                    continue;
                }
                event = tree.next() => event.expect("the last one is Gone"),
                () = &mut drained, if !is_drained => {
                    is_drained = true;
                    continue;
                }
            };
            let is_gone = event == Event::Gone;
            if is_gone && !is_drained {
                let _ = timeout(OUTPUT_END, &mut drained).await;
            }
            let last_lines = if is_gone { stderr.last_lines(LAST_LINES, said_before) } else { Vec::new() };
            // Nobody listens when the process was dropped; its tree goes with this task.
            if events.send(Told { run, event, last_lines }).await.is_err() || is_gone {
                return;
            }
        }
    }
}
