//! Processes that are kept alive, stopped whole, and explained.
//!
//! ```text
//!   wishes, exits, checks, time ──► plan (pure) ──► start, ask, signal, kill, report
//!                                                      │
//!   supervisor ── socket ── keeper ── exec step ═► worker ── its children, theirs, ...
//!        ▲ output: ring, file ◄────── pipes ◄─────────┘
//! ```
//!
//! - [`plan`] decides. It is a state machine of a process with N workers, without a clock, chance or a process in it: restart
//!   [`Policy`], backoff, budget, stops that become kills, restarts that replace one worker after the other. No wish is refused, and
//!   the newest one wins.
//! - [`Program::start`] starts and the [`Tree`] that comes back kills: the whole of it, also what has daemonised, called `setsid` or
//!   forked twice, and also when the supervisor or the process between is killed. Every [`Exit`] is told with its cause.
//! - [`Program::run`] runs a command once. [`tree_of`] tells who belongs to a tree.
//! - A [`Process`] is the two together: a command that is kept running in a number of workers.
//! - [`output`] keeps what workers write, and never lets them wait for it.
//!
//! This crate knows no broker: no session, no object, no configuration file. What a worker finds in its environment, when it is ready,
//! and who may wish what, is for who uses it. Linux only.
//!
//! The `main` of a program that supervises has to begin with [`enter`].

mod exit;
pub mod output;
pub mod plan;
mod policy;
mod process;
mod run;
mod spawn;

pub use exit::{Exit, signal_name};
pub use policy::{Backoff, Budget, Policy, Restart, Spent, Stop};
pub use process::{Host, Notice, Outputs, Process, States, Worker};
pub use run::Ended;
pub use spawn::{Event, Program, Tree, enter, tree, tree_of};
