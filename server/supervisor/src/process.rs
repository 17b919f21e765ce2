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
use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};
use tokio::{
    process::{ChildStderr, ChildStdout},
    sync::{mpsc, oneshot, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};

/// How many wishes may wait for the actor, and how many events of trees. It answers in microseconds: who finds them full waits.
const WAITING_MAX: usize = 64;

/// How much is kept of each output of a worker, for who looks and for its last words.
const OUTPUT_BYTES: usize = 256 << 10;

/// How many lines of stderr are told when a worker has ended, and how much of each: what a traceback needs. They are kept with what
/// happened, and told with every item that comes back.
const LAST_LINES: usize = 20;
const LAST_LINE_CHARS: usize = 200;

/// How long one waits for the end of the outputs when nothing of a tree is left. They end at once, unless somebody else has them open.
const OUTPUT_END: Duration = Duration::from_millis(100);

/// What a process needs of who keeps it. All of it is called in the process's task, and must not wait.
pub trait Host: Send + 'static {
    /// What is to be run in this place. Asked for each run, so that each may have an environment of its own. An error, in words, is
    /// how that run ends: as a command that cannot be run.
    fn program(&mut self, worker: u32, run: Run) -> Result<Program, String>;

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
    /// There is a keeper that starts its command; all that comes of it descends from this process.
    Spawned {
        worker: u32,
        run: Run,
        keeper: u32,
    },
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

/// All workers, for who looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// By their numbers.
    pub workers: Vec<Worker>,
    /// A restart was wished, and has not ended yet.
    pub is_restarting: bool,
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
///     fn program(&mut self, worker: u32, _: Run) -> Result<Program, String> {
///         let number = ("WORKER".into(), worker.to_string().into());
///         Ok(Program { environment: vec![number], ..Program::new("sleep", ["1000"]) })
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
    inputs: mpsc::Sender<Asked>,
    states: watch::Receiver<States>,
    outputs: Arc<Mutex<Vec<Outputs>>>,
    actor: AbortHandle,
}

impl Process {
    /// Starts the workers, if they are wanted now; otherwise they wait for a wish. Inside of a tokio runtime only.
    pub fn start(policy: Policy, workers: u32, is_wanted: bool, host: impl Host) -> Process {
        let (inputs, wishes) = mpsc::channel(WAITING_MAX);
        let (events, heard) = mpsc::channel(WAITING_MAX);
        let (shown, states) = watch::channel(States::default());
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
            states: shown,
        };
        let actor = tokio::spawn(actor.run(wishes, heard)).abort_handle();
        Process { inputs, states, outputs, actor }
    }

    /// The newest wish wins. Returns when it is taken, which does not mean fulfilled: but the states show what follows from it at once.
    pub async fn wish(&self, wish: Wish) {
        self.tell(Input::Wish(wish)).await;
    }

    /// Somebody knows something of a run: that it is ready, or that it does not work. Returns as [`Process::wish`] does.
    pub async fn tell(&self, input: Input) {
        let (taken, is_taken) = oneshot::channel();
        // It listens as long as this is there.
        if self.inputs.send(Asked { input, taken }).await.is_ok() {
            let _ = is_taken.await;
        }
    }

    /// How the workers are now, by their numbers.
    pub fn workers(&self) -> Vec<Worker> {
        self.states.borrow().workers.clone()
    }

    /// How they are, to be waited for. It closes when this is dropped.
    pub fn states(&self) -> watch::Receiver<States> {
        self.states.clone()
    }

    /// Waits until the workers are as somebody wants to see them. Never, if they never are.
    pub async fn until(&self, is_so: impl FnMut(&Vec<Worker>) -> bool) {
        let mut is_so = is_so;
        let mut states = self.states.clone();
        if states.wait_for(|states| is_so(&states.workers)).await.is_err() {
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
    states: watch::Sender<States>,
}

/// What somebody tells the actor, and hears back when it is taken.
struct Asked {
    input: Input,
    taken: oneshot::Sender<()>,
}

/// A run, as the actor knows it.
struct Attended {
    worker: u32,
    pid: Option<u32>,
    /// Signals for it. Its end is what kills.
    signals: Option<mpsc::Sender<i32>>,
}

/// A run in its task.
struct Attendance {
    run: Run,
    outputs: Outputs,
    log: Option<Arc<LogFile>>,
    signals: mpsc::Receiver<i32>,
    events: mpsc::Sender<Told>,
}

/// What such a task tells.
struct Told {
    run: Run,
    what: What,
}

enum What {
    /// It has a keeper.
    Spawned(u32),
    /// An event of its tree; with the last, the last lines of stderr.
    Event(Event, Vec<String>),
}

impl<H: Host> Actor<H> {
    async fn run(mut self, mut wishes: mpsc::Receiver<Asked>, mut heard: mpsc::Receiver<Told>) {
        self.apply(Input::Time);
        loop {
            let wake_at = self.plan.wake_at();
            let input = tokio::select! {
                Some(Asked { input, taken }) = wishes.recv() => {
                    self.apply(input);
                    // Who asked may have gone.
                    let _ = taken.send(());
                    continue;
                }
                Some(told) = heard.recv() => match self.hear(told) {
                    Some(input) => input,
                    None => continue,
                },
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

    fn hear(&mut self, Told { run, what }: Told) -> Option<Input> {
        let attended = self.runs.get_mut(&run).expect("a tree is heard until it is gone");
        let worker = attended.worker;
        Some(match what {
            What::Spawned(keeper) => {
                self.host.notice(Notice::Spawned { worker, run, keeper });
                return None;
            }
            What::Event(Event::Started { pid }, _) => {
                attended.pid = Some(pid);
                self.host.notice(Notice::Started { worker, run, pid });
                Input::Started(run)
            }
            What::Event(Event::Exited(exit), _) => {
                attended.pid = None;
                Input::Exited(run, exit)
            }
            What::Event(Event::Gone, last_lines) => {
                self.runs.remove(&run);
                self.host.notice(Notice::Gone { worker, run, last_lines });
                Input::Gone(run)
            }
        })
    }

    fn apply(&mut self, input: Input) {
        let (now, chance) = (self.now(), self.random.f64());
        for action in self.plan.step(now, input, chance) {
            self.carry_out(action);
        }
        self.show();
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Spawn { worker, run } => self.spawn(worker, run),
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
    }

    fn spawn(&mut self, worker: u32, run: Run) {
        let program = self.host.program(worker, run);
        let (signals, received) = mpsc::channel(WAITING_MAX);
        self.runs.insert(run, Attended { worker, pid: None, signals: Some(signals) });
        let (outputs, log, events) = (self.outputs_of(worker), self.host.log(worker), self.events.clone());
        self.tasks.spawn(Attendance { run, outputs, log, signals: received, events }.run(program));
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
        let mut workers: Vec<Worker> = self.plan.states().into_iter().map(|state| Worker { state, pid: None }).collect();
        // In the order of their starts: the newest has the last word.
        for Attended { worker, pid, .. } in self.runs.values() {
            if let Some(worker) = workers.get_mut(*worker as usize) {
                worker.pid = *pid;
            }
        }
        let states = States { workers, is_restarting: self.plan.is_restarting() };
        self.states.send_if_modified(|shown| {
            let is_other = *shown != states;
            *shown = states;
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
    /// From its start until nothing is left of it.
    async fn run(self, program: Result<Program, String>) {
        let started = match program {
            Ok(program) => program.start_aside().await,
            Err(problem) => Err(Exit::NotRun(problem)),
        };
        match started {
            Ok((tree, stdout, stderr)) => self.attend(tree, stdout, stderr).await,
            Err(exit) => {
                let _ = self.tell(What::Event(Event::Exited(exit), Vec::new())).await
                    && self.tell(What::Event(Event::Gone, Vec::new())).await;
            }
        }
    }

    /// False: nobody listens, because the process was dropped. Its tree goes with this task.
    async fn tell(&self, what: What) -> bool {
        self.events.send(Told { run: self.run, what }).await.is_ok()
    }

    /// Passes signals on, reads the outputs, tells.
    async fn attend(mut self, mut tree: Tree, from_stdout: ChildStdout, from_stderr: ChildStderr) {
        if let Some(keeper) = tree.keeper()
            && !self.tell(What::Spawned(keeper)).await
        {
            return;
        }
        let (run, log, Outputs { stdout, stderr }) = (self.run, self.log.clone(), self.outputs.clone());
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
                signal = self.signals.recv(), if !is_killed => {
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
            let last_lines = if is_gone { last_words(&stderr, said_before) } else { Vec::new() };
            if !self.tell(What::Event(event, last_lines)).await || is_gone {
                return;
            }
        }
    }
}

/// What was written to stderr at last. Of a line that is too long its end is left out.
fn last_words(stderr: &Output, from: u64) -> Vec<String> {
    let mut lines = stderr.last_lines(LAST_LINES, from);
    for line in &mut lines {
        if let Some((end, _)) = line.char_indices().nth(LAST_LINE_CHARS) {
            line.truncate(end);
            line.push('…');
        }
        line.shrink_to_fit();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workers that crashed with a line of hundreds of kilobytes made the supervisor grow by that with each crash.
    #[tokio::test]
    async fn last_words_are_short_however_long_the_lines_are() {
        let stderr = Output::new(OUTPUT_BYTES);
        let text = format!("{}\nshort\n", "é".repeat(100_000));
        stderr.drain(text.as_bytes(), None).await.unwrap();
        let words = last_words(&stderr, 0);
        assert_eq!((words[0].chars().count(), words[1].as_str()), (LAST_LINE_CHARS + 1, "short"));
        assert!(words[0].capacity() < 1000);
    }
}
