//! The broker of bursar, as a library: to embed it, and for the binary `bursar`.
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
pub mod sessions;
pub mod testing;
pub mod transport;

pub use broker::Broker;
