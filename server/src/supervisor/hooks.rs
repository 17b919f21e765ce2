//! What is run at the turning points of a process: commands of its description, and functions of the program that embeds the broker.
//!
//! They are run one after the other, and the first that fails ends it. One that takes too long has failed, and all it has started is killed.

use super::{environment, ledger::Ledger};
use bursar::processes::{Hooks, Spec};
use bursar_supervisor::{Event, Exit, Program, output::Output};
use futures_util::future::BoxFuture;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long one hook has: as long as a worker has to stop by default. Longer work belongs into a process of its own, which others wait for
/// to be completed.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of the output of a hook is kept for its log.
const OUTPUT_BYTES: usize = 16 << 10;
/// How many lines of it are told when it failed.
const LAST_LINES: usize = 5;

/// When something is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Turn {
    BeforeStart,
    /// All its workers are up.
    AfterStart,
    /// Also before a restart.
    BeforeStop,
    AfterStop,
    BeforeRestart,
    AfterRestart,
}

/// What a function that is run at a turning point is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HookContext {
    /// Of which process.
    pub process: String,
    /// When.
    pub turn: Turn,
}

/// What is run at a turning point.
#[derive(Clone)]
pub enum Hook {
    /// With the environment of the process, in its directory.
    Command(Vec<String>),
    /// In this program. An error is told as it is; dropped where it stands when it takes too long or its process is told otherwise.
    Function(Arc<dyn Fn(HookContext) -> BoxFuture<'static, Result<(), String>> + Send + Sync>),
}

impl Turn {
    /// As it stands in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Turn::BeforeStart => "before_start",
            Turn::AfterStart => "after_start",
            Turn::BeforeStop => "before_stop",
            Turn::AfterStop => "after_stop",
            Turn::BeforeRestart => "before_restart",
            Turn::AfterRestart => "after_restart",
        }
    }

    fn commands(self, hooks: &Hooks) -> &[Vec<String>] {
        let Hooks { before_start, after_start, before_stop, after_stop, before_restart, after_restart } = hooks;
        match self {
            Turn::BeforeStart => before_start,
            Turn::AfterStart => after_start,
            Turn::BeforeStop => before_stop,
            Turn::AfterStop => after_stop,
            Turn::BeforeRestart => before_restart,
            Turn::AfterRestart => after_restart,
        }
    }
}

/// Runs what there is for a turn, commands first. What fails is told, and is the error.
pub async fn run(ledger: Arc<Ledger>, turn: Turn) -> Result<(), String> {
    let spec = ledger.look(|facts| facts.spec.clone());
    let commands = turn.commands(&spec.hooks).iter().cloned().map(Hook::Command);
    let functions = ledger.world.functions.lock().get(&(ledger.name.clone(), turn)).cloned().unwrap_or_default();
    for hook in commands.chain(functions) {
        if let Err(problem) = run_one(&ledger, &spec, turn, hook).await {
            ledger.say(None, "hook-failed", format!("{}: {problem}", turn.name()));
            return Err(problem);
        }
    }
    Ok(())
}

async fn run_one(ledger: &Ledger, spec: &Spec, turn: Turn, hook: Hook) -> Result<(), String> {
    let (what, running): (String, BoxFuture<'_, Result<(), String>>) = match hook {
        Hook::Command(command) => {
            let program = environment::aside(spec, &ledger.world.connection, &command)?;
            (command.join(" "), Box::pin(run_command(ledger, turn, program)))
        }
        Hook::Function(function) => ("a function".into(), function(HookContext { process: ledger.name.clone(), turn })),
    };
    match timeout(HOOK_TIMEOUT, running).await {
        Ok(outcome) => outcome.map_err(|problem| format!("{what} {problem}")),
        Err(_) => Err(format!("{what} took longer than {HOOK_TIMEOUT:?} and was ended")),
    }
}

async fn run_command(ledger: &Ledger, turn: Turn, program: Program) -> Result<(), String> {
    let (mut tree, stdout, stderr) = program.start().map_err(|error| format!("cannot be run: {error}"))?;
    let output = Output::new(OUTPUT_BYTES);
    let ended = async {
        let mut exit = Exit::Unknown;
        while let Some(event) = tree.next().await {
            if let Event::Exited(how) = event {
                exit = how;
                // What it leaves behind is nobody's.
                tree.kill();
            }
        }
        exit
    };
    let (exit, stdout, stderr) = tokio::join!(ended, output.drain(stdout, None), output.drain(stderr, None));
    if let Err(error) = stdout.and(stderr) {
        tracing::debug!(process = ledger.name, %error, "the output of a hook cannot be read any more");
    }
    for line in output.last_lines(usize::MAX, 0) {
        tracing::info!(process = ledger.name, hook = turn.name(), "{line}");
    }
    match (exit.is_success(), output.last_lines(LAST_LINES, 0).join("\n")) {
        (true, _) => Ok(()),
        (false, lines) if lines.is_empty() => Err(exit.to_string()),
        (false, lines) => Err(format!("{exit}; its last words: {lines}")),
    }
}

/// Whether there is anything to run.
pub fn has_any(ledger: &Ledger, spec: &Spec, turn: Turn) -> bool {
    let functions = ledger.world.functions.lock();
    !turn.commands(&spec.hooks).is_empty() || functions.contains_key(&(ledger.name.clone(), turn))
}
