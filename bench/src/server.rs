//! Processes that are started for a measurement, what they hold in memory, and which core they run on.

use crate::peer::Outcome;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A process with a directory of its own. Killed when it is dropped.
pub struct Server {
    child: Child,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts what the closure makes of the directory.
    pub fn start(command: impl FnOnce(&Path) -> Outcome<Command>) -> Outcome<Server> {
        let directory = tempfile::tempdir()?;
        let mut command = command(directory.path())?;
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("{:?} cannot be started: {error}", command.get_program()))?;
        Ok(Server { child, directory })
    }

    /// A file in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Waits until it has printed a line that begins like this.
    pub fn wait_for_line(&mut self, start: &str) -> Outcome {
        let output = self.child.stdout.take().ok_or("the output of the server was not piped")?;
        let found = BufReader::new(output).lines().map_while(Result::ok).any(|line| line.starts_with(start));
        if found { Ok(()) } else { Err("the server ended before it listened".into()) }
    }

    /// Waits until it answers.
    pub fn wait_until<T>(&mut self, mut connect: impl FnMut() -> Option<T>) -> Outcome<T> {
        let start = Instant::now();
        loop {
            if let Some(connection) = connect() {
                return Ok(connection);
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the server ended before it listened: {status}").into());
            }
            if start.elapsed() > Duration::from_secs(30) {
                return Err("the server does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Resident bytes.
    pub fn memory(&self) -> Outcome<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Ok(kilobytes.ok_or("the system does not say how much memory a process has")?.parse::<f64>()? * 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program in another role.
pub fn this_program(role: &str) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role);
    Ok(command)
}

/// Whether a program is on the PATH.
pub fn is_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// While it lives, this thread and all threads and processes that it starts run on one core.
pub struct Pinned(CpuSet);

impl Pinned {
    pub fn to_one_core() -> Outcome<Pinned> {
        let all = sched_getaffinity(None)?;
        let last = (0..CpuSet::MAX_CPU).rev().find(|core| all.is_set(*core)).ok_or("no core may be used")?;
        let mut one = CpuSet::new();
        one.set(last);
        sched_setaffinity(None, &one)?;
        Ok(Pinned(all))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // The set was this thread's own: it cannot be refused.
        let _ = sched_setaffinity(None, &self.0);
    }
}
