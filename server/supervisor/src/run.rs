//! A command that is run once: a hook, or the question of a check. It is not kept running, and has no time limit of its own.

use crate::{Event, Exit, Program, Tree, output::Output};
use std::{io, pin::pin, time::Duration};
use tokio::time::timeout;

/// How much is kept of what it writes: a few lines, for who reads why it failed.
const OUTPUT_BYTES: usize = 16 << 10;

/// How many lines of it are told.
const LAST_LINES: usize = 20;

/// How long one waits for what it wrote at last. It is there already, unless somebody else keeps the output open.
const OUTPUT_END: Duration = Duration::from_millis(100);

/// How a command that was run once has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How its own process ended.
    pub exit: Exit,
    /// What it wrote last, to either output, the oldest line first.
    pub last_lines: Vec<String>,
}

impl Program {
    /// Runs it until its own process has ended; what it has started and left is killed then. Dropped before, all of it is killed. An
    /// error: not even a keeper could be started. As for [`start`](Program::start), `main` has to begin with [`enter`](crate::enter).
    ///
    /// ```standalone_crate
    /// use bursar_supervisor::{Exit, Program};
    ///
    /// fn main() -> std::io::Result<()> {
    ///     bursar_supervisor::enter(); // first of all
    ///     tokio::runtime::Runtime::new()?.block_on(async {
    ///         let ended = Program::new("sh", ["-c", "echo no database >&2; exit 1"]).run().await?;
    ///         assert_eq!((ended.exit, ended.last_lines), (Exit::Code(1), vec!["no database".to_owned()]));
    ///         Ok(())
    ///     })
    /// }
    /// ```
    pub async fn run(&self) -> io::Result<Ended> {
        let (mut tree, stdout, stderr) = self.start()?;
        let output = Output::new(OUTPUT_BYTES);
        let drained = async { tokio::join!(output.drain(stdout, None), output.drain(stderr, None)) };
        let mut drained = pin!(drained);
        let exit = tokio::select! {
            exit = exit_of(&mut tree) => {
                let _ = timeout(OUTPUT_END, drained).await;
                exit
            }
            // It may close its outputs and go on.
            _ = &mut drained => exit_of(&mut tree).await,
        };
        Ok(Ended { exit, last_lines: output.last_lines(LAST_LINES, 0) })
    }
}

async fn exit_of(tree: &mut Tree) -> Exit {
    loop {
        match tree.next().await {
            Some(Event::Exited(exit)) => return exit,
            Some(Event::Started { .. }) => {}
            Some(Event::Gone) | None => return Exit::Unknown,
        }
    }
}
