//! Starts and kills: the one room that does. What is to be started when is decided in `plan.rs`.
//!
//! Each worker has a *keeper*, a process between it and this one (`spawn/keeper.rs`). That is one small process more for each worker;
//! what it buys:
//!
//! - The tree of a worker is known exactly, whatever its processes do, because orphans become the keeper's children and no other
//!   worker's. With one process that adopts the orphans of all, nobody could tell whose they are.
//! - When this process is killed with SIGKILL, keepers see their sockets end and kill their trees, all of them: the kernel's
//!   parent-death signal would reach the workers alone, not what they have started. It also fires when the *thread* ends that had
//!   started a worker. A socket ends with the process only: nobody dies by mistake.
//! - When a keeper is killed, the kernel kills its worker (the keeper's one thread that starts it lives as long as the keeper), and
//!   this process finds what else is left by a mark in its environment.
//! - Adopting orphans and waiting for *any* child are the keepers' matter, which have no other children. Whoever embeds this may start
//!   processes of its own, and gets nobody's orphans.
//! - No unsafe code: what has to happen between fork and exec happens in the keeper and the exec step, which are programs.
//!
//! Linux only: adoption of orphans, `/proc` and pidfds.

mod descriptors;
mod keeper;
pub mod tree;

pub use keeper::enter;
pub use tree::tree_of;

use crate::Exit;
use keeper::{KEEP, OWN_BINARY};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::{
    ffi::OsString,
    io::{self, Write},
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    path::PathBuf,
    process::{Stdio, id},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    process::{Child, ChildStderr, ChildStdout, Command},
    sync::Semaphore,
    task::{JoinError, spawn_blocking},
};

/// In the environment of every worker: which tree it belongs to. Nobody but this room looks at it.
const MARK: &str = "BURSAR_TREE";

/// How many are started at once, of all processes: as many as there are processors even on small machines. More would not be faster,
/// and take threads from who needs them for files.
static STARTING: Semaphore = Semaphore::const_new(2);

/// A line of a keeper is short; one that has more says something it should not.
const LINE_BYTES_MAX: usize = 8 << 10;

/// How often one looks whether something is left of a tree whose keeper was killed, and how long one waits in between: two seconds.
/// What is still there then cannot be killed, or belongs to somebody who may not be looked at.
const LOOKS: u32 = 200;
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A command as it is to be run.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The command, looked up in the `PATH` of its environment.
    pub command: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What its environment has more, or otherwise, than that of this process.
    pub environment: Vec<(OsString, OsString)>,
    /// What its keeper has in its environment, too, from its very beginning: by which others know whose a tree is. The rest of the
    /// worker's environment is nothing for the keeper, which may be another user's, and is given to the worker alone.
    pub marks: Vec<(OsString, OsString)>,
    /// What of the environment of this process it does not get.
    pub without: Vec<OsString>,
    /// Where it runs; none: where this process runs.
    pub directory: Option<PathBuf>,
    /// As whom it runs, by number; none: as this process does.
    pub user: Option<u32>,
    /// With which group; none: that of this process.
    pub group: Option<u32>,
    /// What it inherits besides its output, each with the variable of its environment that has its number there. Nobody else gets
    /// them, as long as they are closed on exec here. What the command starts gets them from it, unless it closes them.
    pub descriptors: Vec<(OsString, Arc<OwnedFd>)>,
}

/// What a tree tells, in this order: `Started` and `Exited`, or `Exited` alone; then `Gone`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The command runs, under this number.
    Started {
        /// The number of the worker's own process, and of its group.
        pid: u32,
    },
    /// The worker's own process has ended; others of the tree may be there.
    Exited(Exit),
    /// Nothing of the tree is left, its keeper included.
    Gone,
}

/// The processes of a worker. Dropped, all of them are killed, in the background.
#[derive(Debug)]
pub struct Tree {
    keeper: Child,
    mark: String,
    events: UnixStream,
    read: Vec<u8>,
    /// The other direction of the same socket. Its end is what kills.
    orders: Option<StdUnixStream>,
    pid: Option<u32>,
    /// The worker's own process, as it was when it had started.
    worker: Option<tree::Process>,
    has_exited: bool,
    end: End,
}

/// How far the end of a tree is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// Its keeper talks.
    Open,
    /// Its keeper has said that nothing is left, and goes.
    Going,
    /// Its keeper was killed.
    Lost,
    /// That was told.
    Gone,
}

impl Program {
    /// A command with its arguments, in the environment and the directory of this process.
    pub fn new(command: impl Into<OsString>, arguments: impl IntoIterator<Item: Into<OsString>>) -> Program {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Program { command: command.into(), arguments, ..Program::default() }
    }

    /// Starts it, with nothing on its stdin, in a process group of its own. Whether it runs is told by the tree's events.
    ///
    /// What comes with the tree are the ends of its stdout and stderr: they have to be read, or the worker waits. An error: not even a
    /// keeper could be started. Inside of a tokio runtime only. The program's `main` has to begin with [`enter`].
    ///
    /// ```standalone_crate
    /// use bursar_supervisor::{Event, Exit, Program};
    ///
    /// fn main() -> std::io::Result<()> {
    ///     bursar_supervisor::enter(); // first of all: keepers are this program, too
    ///     tokio::runtime::Runtime::new()?.block_on(async {
    ///         let (mut tree, _stdout, _stderr) = Program::new("sh", ["-c", "exit 3"]).start()?;
    ///         assert!(matches!(tree.next().await, Some(Event::Started { .. })));
    ///         assert_eq!(tree.next().await, Some(Event::Exited(Exit::Code(3))));
    ///         assert_eq!(tree.next().await, Some(Event::Gone));
    ///         Ok(())
    ///     })
    /// }
    /// ```
    pub fn start(&self) -> io::Result<(Tree, ChildStdout, ChildStderr)> {
        if !keeper::was_entered() {
            // Its keepers would do what it does, and start keepers.
            return Err(io::Error::other("the main function of this program has to begin with bursar_supervisor::enter()"));
        }
        let (ours, theirs) = StdUnixStream::pair()?;
        descriptors::send(&ours, descriptors::written(&self.environment)?, &self.descriptors)?;
        ours.set_nonblocking(true)?;
        let orders = ours.try_clone()?;
        let events = UnixStream::from_std(ours)?;
        let mark = new_mark();
        let mut keeper = self.keeper(&mark, theirs.into()).spawn()?;
        let (stdout, stderr) = (keeper.stdout.take(), keeper.stderr.take());
        let (stdout, stderr) = (stdout.expect("its stdout is a pipe"), stderr.expect("its stderr is a pipe"));
        let (read, orders) = (Vec::new(), Some(orders));
        let tree = Tree { keeper, mark, events, read, orders, pid: None, worker: None, has_exited: false, end: End::Open };
        Ok((tree, stdout, stderr))
    }

    /// As [`start`](Program::start), beside the tasks of the runtime: starting a process stands still until that runs, which is some
    /// milliseconds for each, and hundreds may be started at once.
    pub(crate) async fn start_aside(self) -> Result<(Tree, ChildStdout, ChildStderr), Exit> {
        let _turn = STARTING.acquire().await.expect("it is never closed");
        let started: Result<_, JoinError> =
            spawn_blocking(move || self.start().map_err(|error| Exit::not_run(&self.command.to_string_lossy(), &error))).await;
        started.unwrap_or_else(|error| Err(Exit::NotRun(format!("it was not started: {error}"))))
    }

    fn keeper(&self, mark: &str, socket: OwnedFd) -> Command {
        let Program { command, arguments, environment: _, marks, without, directory, user, group, descriptors } = self;
        let number = |number: &Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
        let mut keeper = Command::new(OWN_BINARY);
        keeper.arg0("bursar-keeper").arg(KEEP).arg(number(user)).arg(number(group));
        keeper.arg(directory.clone().unwrap_or_default());
        keeper.arg(descriptors.len().to_string()).args(descriptors.iter().map(|(variable, _)| variable));
        keeper.arg(command).args(arguments);
        for variable in without {
            keeper.env_remove(variable);
        }
        keeper.envs(marks.iter().map(|(name, value)| (name, value))).env(MARK, mark);
        // A group of its own: what a terminal sends to the group of this process is not for it.
        keeper.process_group(0);
        keeper.stdin(Stdio::from(socket)).stdout(Stdio::piped()).stderr(Stdio::piped());
        keeper
    }
}

/// Unlike any other of this host, also of supervisors in other namespaces that have the same number.
fn new_mark() -> String {
    format!("{}-{:016x}", id(), fastrand::u64(..))
}

impl Tree {
    /// The number of the worker's own process, once it runs.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The number of the process between, as long as it is there.
    pub fn keeper(&self) -> Option<u32> {
        self.keeper.id()
    }

    /// Tells the worker's process group, until its end was told. A number that no signal has is ignored.
    ///
    /// If the worker's own process ends of a signal that it got so, the end is told when nobody of its group is left: it may have been
    /// a shell that ran a command, which still finishes what it does.
    pub fn signal(&self, signal: i32) {
        let is_signal = Signal::from_named_raw(signal).is_some();
        if let Some(orders) = self.orders.as_ref().filter(|_| is_signal) {
            // Its keeper reads at once. It may be gone, or be stopped by somebody, with thousands of signals waiting; then killing,
            // which needs no room, is what is left. Not by the runtime, which does not try before it has heard that there is room.
            let _ = (&mut &*orders).write_all(format!("{signal}\n").as_bytes());
        }
    }

    /// Kills everything of it, also what is born meanwhile. [`Event::Gone`] tells when that is done.
    pub fn kill(&mut self) {
        self.end_orders();
        if let Some(keeper) = self.keeper.id().and_then(|id| Pid::from_raw(id as i32)) {
            // Somebody may have stopped it; then it could not do its work. It is not reaped yet, so it is who is meant.
            let _ = kill_process(keeper, Signal::CONT);
        }
    }

    fn end_orders(&mut self) {
        if let Some(orders) = self.orders.take() {
            // An error: the other end is gone already.
            let _ = orders.shutdown(Shutdown::Write);
        }
    }

    /// What happens next; none after [`Event::Gone`]. It waits as long as nothing does. Dropped meanwhile, nothing is lost.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.end {
                End::Open => {
                    if let Some(event) = self.listen().await {
                        return Some(event);
                    }
                }
                End::Going => {
                    // An error would say that somebody else has reaped it: gone it is.
                    let _ = self.keeper.wait().await;
                    self.end = End::Gone;
                    return Some(Event::Gone);
                }
                End::Lost if !self.has_exited => {
                    self.has_exited = true;
                    return Some(Event::Exited(Exit::Unknown));
                }
                End::Lost => {
                    self.clear().await;
                    self.end = End::Gone;
                    return Some(Event::Gone);
                }
                End::Gone => return None,
            }
        }
    }

    /// None: what it said is no event; perhaps it was the end.
    async fn listen(&mut self) -> Option<Event> {
        if let Some(line) = self.line() {
            return self.understand(&line);
        }
        let has_room = self.read.len() < LINE_BYTES_MAX;
        if !(has_room && self.events.read_buf(&mut self.read).await.is_ok_and(|count| count > 0)) {
            self.end = End::Lost;
            self.end_orders();
        }
        None
    }

    fn line(&mut self) -> Option<String> {
        let end = self.read.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.read.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line[..end]).into_owned())
    }

    fn understand(&mut self, line: &str) -> Option<Event> {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let exit = match what {
            "started" => {
                self.pid = rest.parse().ok();
                self.worker = self.pid.and_then(|pid| tree::find(pid as i32));
                return Some(Event::Started { pid: self.pid? });
            }
            "gone" => {
                self.end = End::Going;
                self.end_orders();
                return None;
            }
            "not-run" => Exit::NotRun(rest.to_owned()),
            "exited" => Exit::Code(rest.parse().ok()?),
            "killed" => {
                let (number, core) = rest.split_once(' ').unwrap_or((rest, ""));
                Exit::Signal { number: number.parse().ok()?, core: core == "core" }
            }
            _ => return None,
        };
        self.has_exited = true;
        Some(Event::Exited(exit))
    }

    /// Somebody killed the keeper. The kernel has killed the worker; the rest came here.
    async fn clear(&mut self) {
        // It may have closed its socket only.
        let _ = self.keeper.kill().await;
        let mut known: Vec<tree::Process> = self.worker.into_iter().collect();
        for _ in 0..LOOKS {
            let entry = format!("{MARK}={}", self.mark);
            let looked: Result<_, JoinError> = spawn_blocking(move || clear(&entry, known)).await;
            known = looked.expect("looking does not panic");
            if known.is_empty() {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills what a killed keeper has left. Who was found now, and who of those known before still lives.
fn clear(entry: &str, known: Vec<tree::Process>) -> Vec<tree::Process> {
    let (mut known, ended): (Vec<_>, Vec<_>) = known.into_iter().partition(tree::Process::is_alive);
    // They are init's to reap, and this process may be that, in a container. Those alone: other children are somebody else's.
    for id in ended.iter().filter_map(|process| Pid::from_raw(process.id)) {
        let _ = waitpid(Some(id), WaitOptions::NOHANG);
    }
    for process in tree::kill_marked(entry) {
        if !known.contains(&process) {
            known.push(process);
        }
    }
    known
}
