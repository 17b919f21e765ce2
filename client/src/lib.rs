//! The client of bursar: shared objects between processes, kept by a broker, for programs on any executor or on none.
//!
//! A [`Manager`] connects to the broker; from it come the objects: [`Queue`], a joinable queue whose items outlive the workers that
//! fetch them; [`Kv`], a map with revisions, expiry and watches; [`Counter`]; what is held by one or few at a time, [`Lock`],
//! [`RwLock`], [`Semaphore`] and [`Condition`]; what is waited for, [`Event`], [`Latch`] and [`Barrier`]; and what processes talk
//! through, [`Channel`] and [`Topic`]. Objects of one's own begin with the attribute [`shared`] on a trait: [`Manager::serve`] makes this
//! process their provider, and any other calls them by the client that the attribute makes, or by name, as an [`Object`]. [`blocking`] is
//! the same for programs without `async`.
//!
//! ```
//! # let broker = bursar_server::testing::TestBroker::start();
//! # bursar::blocking::block_on(async {
//! use bursar::{Manager, Queue};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Job { page: u32 }
//!
//! let manager = Manager::connect(broker.address(), broker.authkey()).await?;
//! let jobs: Queue<Job> = manager.queue("jobs").open_or_create().await?;
//! jobs.put_many((1..=10).map(|page| Job { page })).await?;
//! jobs.close().await?;
//! jobs.work(4, async |job: Job| { println!("page {}", job.page); Ok::<(), String>(()) }).await?;
//! jobs.join().await?;
//! # Ok::<(), bursar::Error>(()) }).unwrap();
//! ```
//!
//! What every call promises:
//! - It gets exactly one answer, also across lost connections: a call that is sent again has no second effect.
//! - Dropping its future takes it back. A lease that was already on its way goes back to its queue.
//! - Calls of concurrent tasks and threads share frames by themselves; one may have many calls under way at once.
//! - Waiting is bounded by a [`Wait`] that the broker keeps, or for ever.
//! - An [`Error`] says what was expected and what to do next; what the broker refuses is a [`Fault`] with a permanent number.

pub mod blocking;
mod call;
mod codec;
mod connect;
mod environment;
mod error;
mod manager;
mod objects;
pub mod processes;
mod quiet;
mod session;

pub use bursar_proto as proto;
pub use bursar_proto::{Address, AddressError, AuthKey, Fault, KeyError, Name, Wait};
pub use codec::{CodecError, Encode, Json, Payload, Raw};
pub use connect::{BoxIo, Connector, Io};
pub use error::{Error, Refusal, Result, SessionEnded};
pub use manager::{Builder, IntoAddress, Manager, State, StateWatch};
pub use objects::{
    barrier::{self, Barrier, BarrierParty},
    condition::{self, Condition, ConditionGuard},
    counter::{self, Counter},
    event::{self, Event},
    fence::Fence,
    kv::{self, Kv},
    latch::{self, Latch},
    lock::{self, Lock, LockGuard},
    queue::{self, Lease, Queue},
    registry::{Described, ListFilter, Objects},
    rwlock::{self, ReadGuard, RwLock, WriteGuard},
    semaphore::{self, Permits, Semaphore},
};
// Processes that talk.
pub use objects::{
    channel::{self, Channel, End},
    message::{Answers, Failure, Message, Outcome, Received, Replies, Subscription},
    topic::{self, Topic},
};
// Objects of one's own.
#[doc = include_str!("objects/object/shared.md")]
pub use bursar_macros::shared;
pub use objects::object::{self, CallError, Object, Service, Serving, Shared};
// Lists, values, transactions, and who waits.
pub use objects::{
    array::{self, Array},
    list::{self, List},
    namespace::{self, Namespace},
    slice::Slice,
    txn::{self, Txn, TxnReply},
    value::Value,
    waits::{self, Waits},
};
/// The example of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
