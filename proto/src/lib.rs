//! The contract that both ends of bursar share: the messages of `bursar/v1/*.proto`, and the vocabulary that is validated once at
//! the edge and never inspected again ([`Name`], [`Wait`], [`Address`], [`AuthKey`], [`Fault`]).
//!
//! Nothing here does I/O except reading a key file. Neither the client nor the server is known here.

mod address;
pub mod authkey;
mod fault;
pub mod frame;
pub mod limits;
mod name;
mod nearest;
pub mod process;
mod target;
mod wait;

pub use address::{Address, AddressError};
pub use authkey::{AuthKey, KeyError};
pub use fault::Fault;
pub use name::Name;
pub use nearest::{distance, nearest};
pub use target::{Command, KINDS, Targeted, kind_of, option_fields};
pub use wait::Wait;

/// The generated messages and services, by protobuf package.
#[allow(missing_docs, clippy::all, rust_2018_idioms)]
pub mod v1 {
    tonic::include_proto!("bursar.v1");
    /// The names: which objects there are.
    pub mod registry {
        tonic::include_proto!("bursar.v1.registry");
    }
    /// The joinable queue.
    pub mod queue {
        tonic::include_proto!("bursar.v1.queue");
    }
    /// What engines keep.
    pub mod journal {
        tonic::include_proto!("bursar.v1.journal");
    }
    /// The key-value store.
    pub mod kv {
        tonic::include_proto!("bursar.v1.kv");
    }
    /// The lock.
    pub mod lock {
        tonic::include_proto!("bursar.v1.lock");
    }
    /// The lock for many readers or one writer.
    pub mod rwlock {
        tonic::include_proto!("bursar.v1.rwlock");
    }
    /// Permits.
    pub mod semaphore {
        tonic::include_proto!("bursar.v1.semaphore");
    }
    /// The flag that processes wait for.
    pub mod event {
        tonic::include_proto!("bursar.v1.event");
    }
    /// Counts down once.
    pub mod latch {
        tonic::include_proto!("bursar.v1.latch");
    }
    /// A lock with a line of those who wait to be notified.
    pub mod condition {
        tonic::include_proto!("bursar.v1.condition");
    }
    /// Where parties wait for each other.
    pub mod barrier {
        tonic::include_proto!("bursar.v1.barrier");
    }
    /// A number.
    pub mod counter {
        tonic::include_proto!("bursar.v1.counter");
    }
    /// A sequence of values.
    pub mod list {
        tonic::include_proto!("bursar.v1.list");
    }
    /// A fixed number of numbers of one type.
    pub mod array {
        tonic::include_proto!("bursar.v1.array");
    }
    /// Two ends that send to each other.
    pub mod channel {
        tonic::include_proto!("bursar.v1.channel");
    }
    /// One to many.
    pub mod topic {
        tonic::include_proto!("bursar.v1.topic");
        pub use crate::frame::{Given, NextReply};
    }
    /// Served by other processes.
    pub mod object {
        tonic::include_proto!("bursar.v1.object");
    }
    /// Several steps on several objects, of which all happen or none.
    pub mod txn {
        tonic::include_proto!("bursar.v1.txn");
    }
}

/// The compiled descriptors of the contract, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
