//! Shared objects. A *kind* is a pure state machine; a *host* waits, journals and answers for one object of any kind; the
//! *registry* knows the names; the *door* is how sessions come in.
//!
//! Absent here: sockets, gRPC services, files. Kinds know neither hosts nor each other.

pub mod agenda;
pub mod core;
pub mod door;
pub mod host;
pub mod kind;
pub mod kv;
pub mod queue;
pub mod registry;
