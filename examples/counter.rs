//! The least that a program needs to share an object of its own: one process serves it, others call it as if it were theirs.
//!
//! With the `export` line of a running `bursar serve` pasted into each terminal:
//!
//! ```text
//! cargo run --release -p bursar-examples --bin counter              # serves it until ctrl-c
//! cargo run --release -p bursar-examples --bin counter -- 5         # adds 5
//! bursar call sum add by=7                                          # as does this
//! ```

use bursar::{Manager, Shared};
use bursar_examples::{Outcome, ending};
use std::process::ExitCode;

/// A sum that many add to.
#[bursar::shared]
trait Counter {
    /// Adds to the sum, and tells it.
    async fn add(&mut self, #[shared(default = 1)] by: i64) -> i64;
    /// The sum.
    async fn total(&self) -> i64;
}

#[derive(Default)]
struct Sum(i64);

impl Counter for Sum {
    async fn add(&mut self, by: i64) -> i64 {
        self.0 += by;
        self.0
    }

    async fn total(&self) -> i64 {
        self.0
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ending("counter", run(std::env::args().nth(1)).await)
}

async fn run(number: Option<String>) -> Outcome {
    let manager = Manager::from_env().await?;
    if let Some(number) = number {
        let sum: CounterClient = manager.object("sum").wait_for_provider().open_as().await?;
        println!("{}", sum.add(number.parse()?).await?);
        return Ok(());
    }
    let serving = manager.serve("sum", Shared::new(Sum::default())).start().await?;
    println!("serving sum");
    tokio::signal::ctrl_c().await?;
    Ok(serving.stop().await?)
}
