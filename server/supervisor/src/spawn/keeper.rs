//! What runs between a supervisor and a worker: the program's own binary, started again in two small roles.
//!
//! ```text
//!   supervisor ── socket ── keeper ── exec step ═► command ── its children, theirs, ...
//!                              ▲ who is orphaned below becomes the keeper's child ──┘
//! ```
//!
//! The **keeper** is the parent of one worker and adopts whatever is orphaned in its tree, so that the tree is exactly what descends
//! from it: what has daemonised, and what called `setsid`, too. It reaps all of it, tells how the worker ended, kills all of it when
//! the socket is closed, however that came about, and goes when nothing is left.
//!
//! The **exec step** asks the kernel to be killed should the keeper die, and becomes the command. Only a process itself can ask that,
//! and between fork and exec there is no safe code: so it is asked in a program of its own.
//!
//! Both are synchronous, and use nothing of the supervisor.

use super::{descriptors, tree};
use parking_lot::Mutex;
use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{
        Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpid, getppid, kill_process_group, set_child_subreaper,
        set_parent_process_death_signal, wait, waitid,
    },
};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Command, Stdio, exit},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// The binary that runs. Also when its file was replaced or removed meanwhile.
pub(super) const OWN_BINARY: &str = "/proc/self/exe";
/// The first argument of a keeper. Then: user, group, directory (each may be empty), how many descriptors come by the socket, their
/// variables, command, its arguments.
pub(super) const KEEP: &str = "bursar:keep";
/// The first argument of an exec step. Then: the keeper's id, the directory, the command, its arguments.
const EXEC: &str = "bursar:exec";

/// How long a keeper waits before it looks again who is left, when it has killed all it saw. They need a moment to die.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Plays its role, if this process was started for one, and never returns then. Has to be the first thing that `main` of a program
/// does that supervises others: its workers are started by the program's own binary.
pub fn enter() {
    ENTERED.store(true, Ordering::Relaxed);
    let mut arguments = env::args_os().skip(1);
    match arguments.next() {
        Some(role) if role == KEEP => keep(arguments.collect()),
        Some(role) if role == EXEC => execute(arguments.collect()),
        _ => {}
    }
}

static ENTERED: AtomicBool = AtomicBool::new(false);

/// Whether this program knows the roles.
pub(super) fn was_entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// The worker, until its end was told. Locked while it is signalled or reaped.
type Shared = Arc<Mutex<Option<Worker>>>;

struct Worker {
    /// The number of its own process, and of its group.
    id: Pid,
    /// Of its own process, once that is reaped. From then on its number is nobody's, or somebody else's.
    ended: Option<WaitStatus>,
    /// The signals that were passed on, a bit for each.
    told: u32,
}

impl Worker {
    fn tell(&mut self, signal: Signal) {
        self.told |= bit(signal.as_raw());
        match self.ended {
            None => {
                // Its group may have nobody any more whom this process may signal.
                let _ = kill_process_group(self.id, signal);
            }
            Some(_) => tree::below_in_group(getpid(), self.id).iter().for_each(|process| {
                process.signal(signal);
            }),
        }
    }

    /// How it ended, once that can be told. A shell that runs a command ends with the signal that both of them got; the command is what
    /// is meant, and has the time that the worker has.
    fn end(&self) -> Option<WaitStatus> {
        let status = self.ended?;
        let obeyed = status.terminating_signal().is_some_and(|signal| self.told & bit(signal) != 0);
        (!obeyed || tree::below_in_group(getpid(), self.id).is_empty()).then_some(status)
    }
}

/// None for signals that are not passed on.
fn bit(signal: i32) -> u32 {
    u32::try_from(signal).ok().and_then(|signal| 1u32.checked_shl(signal)).unwrap_or(0)
}

fn keep(arguments: Vec<OsString>) -> ! {
    let Ok((socket, mut tell)) = take_socket() else { exit(1) };
    // Linux has it since 3.4. Without it, orphans would not be found.
    if let Err(error) = set_child_subreaper(Some(getpid())) {
        say(&mut tell, &format!("not-run cannot look after orphans: {error}"));
        exit(1);
    }
    let worker = match start(&socket, &arguments) {
        Ok(id) => {
            say(&mut tell, &format!("started {}", id.as_raw_pid()));
            Arc::new(Mutex::new(Some(Worker { id, ended: None, told: 0 })))
        }
        Err(error) => {
            say(&mut tell, &format!("not-run {}", error.to_string().replace('\n', " ")));
            Shared::default()
        }
    };
    let listening = worker.clone();
    let listener = thread::Builder::new().spawn(move || listen(socket, &listening));
    if listener.is_err() {
        // Nobody could stop it. It is killed with its keeper, and the supervisor looks after the rest.
        exit(1);
    }
    reap(&worker, &mut tell);
    say(&mut tell, "gone");
    exit(0)
}

/// The socket comes as stdin. Nobody below gets it.
fn take_socket() -> io::Result<(UnixStream, UnixStream)> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let tell = socket.try_clone()?;
    Ok((socket, tell))
}

/// Nobody may listen any more; then everything ends soon anyway.
fn say(tell: &mut UnixStream, line: &str) {
    let _ = tell.write_all(format!("{line}\n").as_bytes());
}

/// Starts the worker, and waits until it runs its command, or cannot.
fn start(socket: &UnixStream, arguments: &[OsString]) -> io::Result<Pid> {
    let [user, group, directory, count, rest @ ..] = arguments else { return Err(io::ErrorKind::InvalidInput.into()) };
    let count = number(count).unwrap_or(0) as usize;
    let Some((variables, command)) = rest.split_at_checked(count) else { return Err(io::ErrorKind::InvalidInput.into()) };
    let (environment, inherited) = descriptors::receive(socket, count)?;
    let (mut failed, tell_failure) = io::pipe()?;
    let mut step = Command::new(OWN_BINARY);
    step.arg(EXEC).arg(getpid().as_raw_pid().to_string()).arg(directory).args(command);
    step.stdin(Stdio::from(OwnedFd::from(tell_failure))).process_group(0);
    if let Some(group) = number(group) {
        step.gid(group);
    }
    if let Some(user) = number(user) {
        step.uid(user);
    }
    step.envs(descriptors::read(environment)?);
    for (variable, descriptor) in variables.iter().zip(&inherited) {
        // This process has one thread yet, and starts nothing else: nobody gets it by chance.
        fcntl_setfd(descriptor, FdFlags::empty())?;
        step.env(variable, descriptor.as_raw_fd().to_string());
    }
    let worker = step.spawn()?.id();
    // The other end of the failure's pipe, those of the output's, and what was inherited are the worker's alone.
    drop((step, inherited));
    let nowhere = File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    let mut failure = String::new();
    failed.read_to_string(&mut failure)?;
    if failure.is_empty() {
        Ok(Pid::from_raw(worker as i32).expect("a child has a number"))
    } else {
        Err(io::Error::other(failure))
    }
}

fn number(text: &OsStr) -> Option<u32> {
    text.to_str()?.parse().ok()
}

/// Signals to the worker's group, by number, one a line. The end of the socket is the end of everything.
fn listen(socket: UnixStream, worker: &Shared) {
    for line in BufReader::new(socket).lines() {
        let Some(signal) = line.ok().and_then(|line| Signal::from_named_raw(line.parse().ok()?)) else { break };
        if let Some(worker) = &mut *worker.lock() {
            worker.tell(signal);
        }
    }
    kill_all();
}

/// Until the process ends, which it does when nobody is left.
fn kill_all() {
    loop {
        if tree::kill_descendants(getpid()) == 0 {
            thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Everybody below, until nobody is left.
fn reap(worker: &Shared, tell: &mut UnixStream) {
    // Looks first, and takes under the lock: nobody signals a number that is free.
    while let Ok(_) | Err(rustix::io::Errno::INTR) = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        let mut worker = worker.lock();
        let Ok(Some((process, status))) = wait(WaitOptions::NOHANG) else { continue };
        let Some(own) = worker.as_mut() else { continue };
        if own.id == process && own.ended.is_none() {
            own.ended = Some(status);
        }
        if let Some(status) = own.end() {
            *worker = None;
            say(tell, &explain(status));
        }
    }
}

/// The bit of a wait status that says that a core was written.
const CORE: i32 = 0x80;

fn explain(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exited {code}"),
        (None, Some(signal)) if status.as_raw() & CORE != 0 => format!("killed {signal} core"),
        (None, signal) => format!("killed {}", signal.unwrap_or(0)),
    }
}

/// Becomes the command. Who waits for it reads at the other end of stdin: nothing, or why it could not.
fn execute(arguments: Vec<OsString>) -> ! {
    let Ok(tell) = io::stdin().as_fd().try_clone_to_owned() else { exit(127) };
    let error = match become_command(&arguments) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let _ = File::from(tell).write_all(error.to_string().as_bytes());
    exit(127)
}

fn become_command(arguments: &[OsString]) -> io::Result<std::convert::Infallible> {
    let [keeper, directory, command, arguments @ ..] = arguments else { return Err(io::ErrorKind::InvalidInput.into()) };
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before that was asked; then nobody would tell.
    if getppid().map(|parent| parent.as_raw_pid() as u32) != number(keeper) {
        return Err(io::Error::other("its keeper is gone"));
    }
    if !directory.is_empty() {
        let named = |error| io::Error::other(format!("the directory {} cannot be entered: {error}", directory.display()));
        env::set_current_dir(directory).map_err(named)?;
    }
    let error = Command::new(command).args(arguments).exec();
    Err(io::Error::other(format!("{} cannot be run: {error}", command.display())))
}
