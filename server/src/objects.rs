//! Shared objects. A *kind* is a pure state machine; a *host* waits, journals and answers for one object of any kind; the
//! *registry* knows the names; the *door* is how sessions come in.
//!
//! Absent here: sockets, gRPC services, files. Kinds know neither hosts nor each other.

pub mod agenda;
pub mod array;
pub mod barrier;
pub mod channel;
pub mod condition;
pub mod core;
pub mod counter;
pub mod door;
pub mod event;
pub mod grant;
pub mod host;
pub mod kind;
pub mod kv;
pub mod latch;
pub mod list;
pub mod lock;
pub mod message;
pub mod object;
pub mod own;
pub mod page;
pub mod queue;
pub mod registry;
pub mod rwlock;
pub mod semaphore;
#[cfg(test)]
mod several;
pub mod slice;
pub mod steps;
pub mod topic;
pub mod transaction;
#[cfg(test)]
pub(crate) mod trial;
pub mod value;
pub mod waits;
