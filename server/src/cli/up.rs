//! `bursar up`: the broker and its processes from one file, in the foreground.
//!
//! ```text
//! file ─► broker in this process ─► console: what workers write and what happens to them, on stdout
//!                 │
//!   first signal, the end of --exit-with, a closed stdout ─► stop in order ── second signal ─► kill ─► the broker stops
//! ```
//!
//! The broker is the same as that of `bursar serve`; to its processes this is a client like any other.

mod background;
mod choice;
mod console;
mod log;

use super::{
    Interrupts,
    failure::{Exit, Failure},
    processes::{self, lines::Style},
    serve,
};
use crate::{
    Broker, broker,
    config::{self, Config, Flags},
};
use bursar::{
    Manager,
    processes::{Spent, SuperviseClient},
};
use bursar_proto::AuthKey;
use console::{Console, End};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Run a broker and the processes of a file, with their output, until ctrl-c
///
/// The file is ./bursar.toml, or else ./Procfile. Where it does not say where to listen, and with which authkey, these are those of
/// `bursar serve` without arguments. The first ctrl-c or SIGTERM stops the processes in order, a second one kills them. Exit code: 0
/// after a signal or `bursar down`, 1 if the supervisor gave up, that of the worker with --exit-with.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar up
  bursar up web --timestamps
  bursar up --config Procfile --exit-with tests
  bursar up -d && bursar ps && bursar down")]
pub struct Args {
    /// Only these, and those they depend on; without: all that are started by themselves
    #[arg(value_parser = super::name)]
    name: Vec<String>,
    /// The file [default: ./bursar.toml, or else ./Procfile]
    #[arg(long, value_name = "FILE", env = "BURSAR_CONFIG")]
    config: Option<PathBuf>,
    /// Go on in the background, and return when the processes are up or have failed
    #[arg(short, long)]
    detach: bool,
    /// When a worker of this process ends, stop everything, and end with its code
    #[arg(long, value_name = "NAME", value_parser = super::name, conflicts_with = "detach")]
    exit_with: Option<String>,
    /// With --detach: the file for all output [default: up-FOLDER-HASH.log in the runtime directory]
    #[arg(long, value_name = "FILE", requires = "detach")]
    log_file: Option<PathBuf>,
    /// With --detach: how long to wait until the processes are up
    #[arg(long, value_name = "DURATION", value_parser = config::duration, default_value = "60s", requires = "detach")]
    wait: Duration,
    /// What the broker itself says on stderr: off, error, warn, info, debug, trace [default: warn]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    #[command(flatten)]
    style: Style,
    /// This is what --detach has started.
    #[arg(long, hide = true)]
    in_background: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    if args.in_background {
        // Signals of the terminal at which it was started are not for it.
        let _ = rustix::process::setsid();
    }
    let file = choice::file(args.config.as_deref())?;
    let flags = Flags { config: Some(file.clone()), log_level: args.log_level.clone(), ..Flags::default() };
    let mut config = Config::read(&flags).map_err(|mistakes| Failure::usage(mistakes.to_string()))?;
    config.supervise = true;
    choice::choose(&mut config.processes, &args.name)?;
    if let Some(name) = &args.exit_with {
        choice::check(&config.processes, name)?;
    }
    broker::fill(&mut config, true, true).map_err(|error| serve::failure_of("up", &error))?;
    match args.detach {
        true => background::run(&args, &file, &config),
        false => foreground(args, &file, config),
    }
}

fn foreground(args: Args, file: &Path, config: Config) -> Result<(), Failure> {
    let key = broker::read_keys(&config).map_err(|error| serve::failure_of("up", &error))?.swap_remove(0);
    let lines = args.style.lines();
    log::start(&config.log, args.log_level.is_some(), args.style.beside(&lines))?;
    let console = Console::new(lines);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("the runtime cannot be started: {error}")))?;
    let gives_up = config.processes.iter().any(|spec| spec.budget.spent == Spent::Everything);
    let result = runtime.block_on(async {
        // Before anything is started: from here on a signal is an orderly end.
        let mut interrupts = Interrupts::new()?;
        let broker = tokio::select! {
            started = Broker::start(config) => started.map_err(|error| serve::failure_of("up", &error))?,
            _ = interrupts.next() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
        };
        let watched = watch(&broker, key, console, file, &args, &mut interrupts).await;
        let stopped = stop(broker, &mut interrupts).await;
        // Why the broker failed says more than that it was lost.
        stopped?;
        outcome(watched?, gives_up)
    });
    // A write to stdout may never end, and nobody waits for it.
    runtime.shutdown_background();
    result
}

/// As a client: shows what there is until there is an end, and stops the processes in order.
async fn watch(
    broker: &Broker,
    key: AuthKey,
    mut console: Console,
    file: &Path,
    args: &Args,
    interrupts: &mut Interrupts,
) -> Result<End, Failure> {
    let manager = connect(broker, key).await?;
    let supervise = processes::open(&manager).await?;
    console.greet(&supervise, file, broker.addresses()).await?;
    let end = console.run(&supervise, args.exit_with.as_deref(), interrupts).await;
    manager.close().await;
    end
}

async fn connect(broker: &Broker, key: AuthKey) -> Result<Manager, Failure> {
    let connector = broker.connector();
    let connect = move || {
        let connector = connector.clone();
        async move { connector.connect().await.map(|stream| Box::new(stream) as bursar::BoxIo) }
    };
    Ok(Manager::builder().connector(connect).authkey(key).label("bursar up").connect().await?)
}

/// The broker, when its processes are down; a signal ends it at once.
async fn stop(broker: Broker, interrupts: &mut Interrupts) -> Result<(), Failure> {
    tokio::select! {
        stopped = broker.stop() => stopped.map_err(|error| serve::failure_of("up", &error)),
        _ = interrupts.next() => Err(Failure::new(Exit::Interrupted, "stopped at once")),
    }
}

/// `gives_up`: there is a process whose failure ends everything.
fn outcome(end: End, gives_up: bool) -> Result<(), Failure> {
    match end {
        End::Asked => Ok(()),
        End::Unread => Err(Failure::enough()),
        End::Worker(0) => Ok(()),
        End::Worker(code) => Err(Failure::of_command(u8::try_from(code).unwrap_or(1))),
        End::Supervisor { spent: Some(who) } if gives_up => {
            Err(Failure::new(Exit::Failed, format!("up: {who} failed too often, and everything was stopped")))
        }
        End::Supervisor { .. } => Ok(()),
    }
}

/// The supervisor, as a client sees it here.
type Supervise = SuperviseClient;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_has_its_exit_code() {
        let code = |end, gives_up| outcome(end, gives_up).map_or_else(|failure| failure.exit.code(), |()| 0);
        let spent = || End::Supervisor { spent: Some("web/0".into()) };
        assert_eq!([code(End::Asked, true), code(End::Unread, true), code(End::Supervisor { spent: None }, true)], [0, 0, 0]);
        assert_eq!([code(spent(), true), code(spent(), false)], [1, 0], "only where it ends everything");
        assert_eq!([code(End::Worker(0), false), code(End::Worker(3), false), code(End::Worker(139), false)], [0, 3, 139]);
    }
}
