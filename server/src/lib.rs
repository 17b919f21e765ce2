//! The broker of bursar, as a library: to embed it, and for the binary `bursar`.
//!
//! A program that embeds it puts it together with [`Broker::builder`]: configuration, keys, and what is its own, as [`own`] has it. Those are
//! objects that are served from within this process, factories of such objects, and kinds, whose state is kept as that of the built-in ones.
//! Clients find no difference: they connect, or get a [`connector`](Broker::connector) that needs no socket. The program's own services
//! may stand on top of the broker, and the broker in their order: it is a stack of services itself, as [`lifecycle`] has them.
//!
//! The rooms and what each may know stand in `ARCHITECTURE.md`.

pub mod auth;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
mod faults;
pub mod objects;
pub mod own;
pub mod sessions;
pub mod supervisor;
pub mod testing;
pub mod transport;

pub use broker::{Broker, ServeError};
pub use bursar_lifecycle as lifecycle;
pub use own::processes;
