//! The tests of the whole broker, in one binary: scenarios, simulation, attacks on the real program, interoperability, tidiness.

#![allow(missing_docs)]

mod attacks;
mod cli;
mod embedded;
mod engine;
#[allow(dead_code)] // not every test uses all of it
mod harness;
mod interop;
mod linearizable;
mod processes;
mod readme;
mod scenarios;
mod services;
mod simulation;
mod systemd;
mod tidy;
