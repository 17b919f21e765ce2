//! Engines: where changes are kept. An engine offers a fenced, totally ordered log per shard and knows no kinds: changes are
//! opaque bytes to it.
//!
//! | engine | keeps | survives |
//! | --- | --- | --- |
//! | [`memory`] | records in this process | nothing |
//!
//! [`shard`] is the one owner of a log: it collects what arrives while an append is under way into the next record (group
//! commit) and tells listeners how far the log is durable. [`conformance`] is the suite that every engine must pass.

pub mod conformance;
pub mod memory;
pub mod shard;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// The number of a record in its log; 0 is the place before the first.
pub type Position = u64;

/// How far a shard has come, counted in changes. 0: nothing is to be waited for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Mark(pub u64);

/// What acknowledged records outlive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Survives {
    /// Not even the process.
    Nothing,
    /// `kill -9` of the process, while the machine runs on.
    ProcessCrash,
    /// Power loss of the machine.
    PowerLoss,
    /// Loss of a machine and its disk.
    NodeLoss,
}

impl Survives {
    /// As `bursar status` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Survives::Nothing => "nothing",
            Survives::ProcessCrash => "process crash",
            Survives::PowerLoss => "power loss",
            Survives::NodeLoss => "node loss",
        }
    }
}

/// What an engine can do.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// Largest record.
    pub record_bytes_max: usize,
    /// Appends that may be under way at once.
    pub in_flight_max: usize,
    /// What acknowledged records outlive.
    pub survives: Survives,
}

/// Why a record was not acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppendError {
    /// Certainly not stored by this call: the tail is not where it was expected, somebody else owns it.
    #[error("the log's tail is not at {expect}: another owner has appended")]
    Conflict {
        /// Where the tail was expected.
        expect: Position,
    },
    /// Perhaps stored. Append the same record again with the same expectation: that is idempotent.
    #[error("whether the record was stored is unknown: {0}")]
    Unknown(String),
    /// The record is larger than `record_bytes_max`.
    #[error("a record of {bytes} bytes is above the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The engine is broken for good: stop.
    #[error("the engine has failed: {0}")]
    Failed(String),
}

/// Why a log could not be read or truncated.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// Records after this position are not there (any more).
    #[error("the log has a gap after position {after}: its first kept record is {first}")]
    Gap {
        /// Where reading began.
        after: Position,
        /// The first record that is kept.
        first: Position,
    },
    /// The engine is broken.
    #[error("the engine has failed: {0}")]
    Failed(String),
}

/// The log of one shard.
pub trait Log: Send + Sync + 'static {
    /// What this log can do.
    fn limits(&self) -> LogLimits;

    /// The first record that is kept; tail + 1 when none is.
    fn first(&self) -> BoxFuture<'static, Result<Position, ReadError>>;

    /// The last record. May be stale: an append decides.
    fn tail(&self) -> BoxFuture<'static, Result<Position, ReadError>>;

    /// Stores a record at `expect + 1` if and only if the tail is `expect`. Records are handed over in call order, when this
    /// returns; the future is the durable acknowledgement and does not have to be polled for the append to happen.
    fn append(&self, expect: Position, record: Bytes) -> BoxFuture<'static, Result<Position, AppendError>>;

    /// Up to `limit` records after a position, in order, without gaps.
    fn read(&self, after: Position, limit: usize) -> BoxFuture<'static, Result<Vec<(Position, Bytes)>, ReadError>>;

    /// Forgets all records up to and including this one. The tail stays where it is, also when everything is forgotten.
    fn truncate(&self, upto: Position) -> BoxFuture<'static, Result<(), ReadError>>;
}
