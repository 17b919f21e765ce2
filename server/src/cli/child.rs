//! A command that is run under something that is held: how it starts, which signals it gets, and what its end says.
//!
//! ```text
//!   running ── it ends ──────────────────────────────► its exit code
//!      └── what is held is lost ── SIGTERM to all its processes ── grace is over: SIGKILL ──► Exit::Lost
//! ```
//!
//! How long something is held is the command's own process's matter: what that one leaves running when it ends is not looked after.

mod family;

use super::{
    Interrupts,
    connect::Client,
    failure::{Exit, Failure},
};
use crate::config;
use family::Family;
use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};
use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, IsTerminal},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{self, ExitStatus, Stdio},
    time::{Duration, Instant},
};
pub use tokio::process::Command;

use tokio::process::Child;

/// The command, as every `run` takes it.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// When what is held is lost: how long the command has between SIGTERM and SIGKILL
    #[arg(long, value_name = "DURATION", value_parser = config::duration, default_value = "10s")]
    grace: Duration,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Args {
    /// Runs the command until it ends, with these variables in its environment. When what is held is lost with its session before
    /// that, or may be after `valid_until`, the command is told to stop.
    pub async fn run(
        &self,
        client: &Client,
        variables: &[(&str, String)],
        interrupts: &mut Interrupts,
        session_lost: impl Future<Output = ()>,
        valid_until: impl Fn() -> Instant,
    ) -> Result<(), Failure> {
        let mut command = command(&self.command);
        command.envs(client.variables()).envs(variables.iter().map(|(name, value)| (name, value)));
        let mut pauses = Interrupts::of(&[Signal::TSTP])?;
        let mut running = Running::start(command, Place::here()).map_err(|error| not_run(&self.command, &error))?;
        let lost = lost(session_lost, &valid_until);
        tokio::pin!(lost);
        loop {
            tokio::select! {
                status = running.child.wait() => return ended(status),
                signal = interrupts.next() => running.pass_on(signal),
                _ = pauses.next() => {
                    running.pause();
                    // While this program was stopped, nothing was heard of the broker, nor could the timer of `lost` run.
                    if valid_until() <= Instant::now() {
                        return Err(self.stop(&mut running).await);
                    }
                    running.signal(Signal::CONT);
                }
                () = &mut lost => return Err(self.stop(&mut running).await),
            }
        }
    }

    /// Somebody else may hold by now what the command believes to hold: none of its processes has time but the grace.
    async fn stop(&self, running: &mut Running) -> Failure {
        let how = running.stop(self.grace).await;
        let ended = running.child.wait().await;
        match ended {
            Ok(_) => Failure::new(
                Exit::Lost,
                format!("lost while the command ran (the session ended, or the broker was silent too long); the command {how}"),
            ),
            Err(error) => Failure::new(Exit::Lost, format!("lost, and the command cannot be waited for: {error}")),
        }
    }
}

/// As `env` and other programs do that run others.
fn not_run(command: &[String], error: &io::Error) -> Failure {
    let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NoCommand } else { Exit::NotRunnable };
    Failure::new(exit, format!("{:?} cannot be run: {error}", command[0]))
}

/// What a program is run with, besides what this one has.
#[derive(Debug, Default)]
pub struct Surroundings {
    pub set: Vec<(OsString, OsString)>,
    pub unset: Vec<&'static str>,
    pub directory: Option<PathBuf>,
}

/// Makes this process the command: with its id, its terminal and its open files. Returns only if that cannot be.
pub fn become_command(words: &[String], surroundings: Surroundings) -> Failure {
    let Surroundings { set, unset, directory } = surroundings;
    let mut command = process::Command::new(&words[0]);
    for name in unset {
        command.env_remove(name);
    }
    command.args(&words[1..]).envs(set);
    if let Some(directory) = &directory {
        if !directory.is_dir() {
            let message = format!("its directory {} is not there, or is not a directory", directory.display());
            return Failure::new(Exit::NotRunnable, message);
        }
        command.current_dir(directory);
    }
    not_run(words, &command.exec())
}

/// This program once more, in the background: what it writes goes into the file. It goes on when this process ends.
pub fn once_more(arguments: &[OsString], log: File) -> io::Result<process::Child> {
    let mut command = process::Command::new(env::current_exe()?);
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
}

/// A command with its arguments.
pub fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// Where a command runs.
#[derive(Clone, Copy, PartialEq)]
pub enum Place {
    /// In a process group of its own: signals of the terminal reach this program only.
    Apart,
    /// In the group of this program, which may read from the terminal and gets its signals. The group is never signalled as a whole:
    /// the script that runs this program may be in it, and the other ends of its pipes.
    Terminal,
}

impl Place {
    /// With a terminal as stdin the command has to be in its foreground group: it could not read otherwise.
    fn here() -> Place {
        if io::stdin().is_terminal() { Place::Terminal } else { Place::Apart }
    }
}

/// A command that runs. It is killed when this is dropped.
pub struct Running {
    pub child: Child,
    id: Option<Pid>,
    place: Place,
}

impl Running {
    pub fn start(mut command: Command, place: Place) -> io::Result<Running> {
        if place == Place::Apart {
            command.process_group(0);
        }
        let child = command.kill_on_drop(true).spawn()?;
        let id = child.id().and_then(|id| Pid::from_raw(id as i32));
        Ok(Running { child, id, place })
    }

    /// To the whole group, if it has one. It may be gone already; then there is nobody to tell.
    pub fn signal(&self, signal: Signal) {
        let Some(id) = self.unreaped() else { return };
        let _ = match self.place {
            Place::Apart => kill_process_group(id, signal),
            Place::Terminal => kill_process(id, signal),
        };
    }

    /// Ends all of its processes: SIGTERM, and when the grace is over SIGKILL. Says which it was.
    pub async fn stop(&mut self, grace: Duration) -> &'static str {
        let mut how = "was stopped by SIGTERM";
        if let Some(family) = self.family() {
            family.signal(Signal::TERM);
            // Whoever is stopped ends only when it goes on.
            family.signal(Signal::CONT);
            if tokio::time::timeout(grace, family.gone()).await.is_err() {
                how = "did not stop at SIGTERM and was killed";
            }
            family.kill().await;
        }
        how
    }

    /// The id of the command's process, while nobody else can have it.
    fn unreaped(&self) -> Option<Pid> {
        self.child.id().and(self.id)
    }

    /// All of its processes. Nobody may wait for the child as long as this is used: that would reap it.
    fn family(&self) -> Option<Family> {
        self.unreaped().map(Family::of)
    }

    /// What the terminal sends by its keys has reached the command by itself: twice would be once too often.
    fn pass_on(&self, signal: Signal) {
        if self.place == Place::Apart || ![Signal::INT, Signal::QUIT].contains(&signal) {
            self.signal(signal);
        }
    }

    /// Stops the command and this program, until somebody continues this program.
    fn pause(&self) {
        self.signal(match self.place {
            Place::Apart => Signal::STOP,
            // It has got this one from the terminal, and may be about to leave it in order before it stops: a second one does no harm.
            Place::Terminal => Signal::TSTP,
        });
        // As SIGTSTP without a handler, and other than SIGSTOP, it does nothing where no shell could continue this program.
        let _ = kill_process(getpid(), Signal::TTIN);
    }
}

/// A command's exit code is this program's; one that was killed by signal n has 128 + n, as in a shell.
fn ended(status: io::Result<ExitStatus>) -> Result<(), Failure> {
    let status = status.map_err(|error| Failure::new(Exit::Failed, format!("the command cannot be waited for: {error}")))?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    if code == 0 { Ok(()) } else { Err(Failure::of_command(code as u8)) }
}

/// Until what is held is lost with its session, or may be: nothing was heard of the broker for so long that it may have given it to
/// others.
async fn lost(session_lost: impl Future<Output = ()>, valid_until: impl Fn() -> Instant) {
    let silence = async {
        while valid_until() > Instant::now() {
            tokio::time::sleep_until(valid_until().into()).await;
        }
    };
    tokio::select! {
        () = session_lost => {}
        () = silence => {}
    }
}

/// What is held is given back; that this fails matters less than how the command failed.
pub async fn give_back(ran: Result<(), Failure>, release: impl Future<Output = bursar::Result<()>>) -> Result<(), Failure> {
    match ran {
        Err(failure) if failure.exit == Exit::Lost => Err(failure),
        ran => {
            let released = release.await.map_err(|error| Failure::from(error).context("when the command had ended"));
            ran.and(released)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_ends_as_it_would_in_a_shell() {
        let code = |status| ended(Ok(ExitStatus::from_raw(status))).map_or_else(|failure| failure.exit.code(), |()| 0);
        assert_eq!([code(0), code(3 << 8), code(255 << 8), code(15), code(9)], [0, 3, 255, 143, 137]);
    }
}
