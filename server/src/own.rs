//! What a program that embeds a broker adds to it: kinds of its own, whose state is kept as that of the built-in ones, and objects that
//! are served from within the broker's process.
//!
//! To the other rooms these are kinds and sessions like all others. The vocabulary of objects (services, payloads, failures) is the
//! client's, so that an object looks the same wherever it is served.

mod additions;
mod builder;
mod factory;
mod kept;
pub mod kind;
mod link;
pub mod processes;
mod resident;
#[cfg(test)]
mod tests;

pub use crate::objects::kind::{Departure, Moment, SessionId};
pub(crate) use additions::{Additions, Residents};
pub use builder::Builder;
pub use factory::Factory;
pub use kind::{Call, Decision, Kind, Waits};
