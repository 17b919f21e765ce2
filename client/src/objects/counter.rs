//! The counter: one number.

use super::{
    Handle, Wanted,
    opened::{opened, opening},
    reference::travels,
};
use crate::Result;
use bursar_proto::v1::counter as wire;

/// A number from -2^63 to 2^63 - 1, shared by every process that opens its name. Every call is one step.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::{Manager, counter::Swap};
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let visits = manager.counter("visits").initial(10).open_or_create().await?;
/// assert_eq!(visits.add(-3).await?, 7);
/// assert_eq!(visits.compare_and_set(7, 8).await?, Swap::Swapped);
/// assert_eq!(visits.compare_and_set(7, 9).await?, Swap::Kept { value: 8 });
/// assert_eq!(visits.set(0).await?, 8);
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Counter {
    handle: Handle,
}

opened!(Counter);
travels!(Counter, "counter", Counter::new);

impl Counter {
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// What a counter is to be, before it is opened.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let counter = manager.counter("tickets").initial(1000).create().await?;
/// assert_eq!(counter.get().await?, 1000);
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder {
    wanted: Wanted,
    options: wire::Options,
}

opening!(Counter, Counter, wire::Options::default());

impl Builder {
    /// What it holds at the beginning; 0, if this is not said.
    pub fn initial(mut self, initial: i64) -> Builder {
        self.options.initial = initial;
        self
    }
}

/// What became of a [`compare_and_set`](Counter::compare_and_set).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "the counter may hold another value than the one to be set"]
pub enum Swap {
    /// The counter held what was expected, and holds the new value now.
    Swapped,
    /// It held, and still holds, something else.
    Kept {
        /// What it holds.
        value: i64,
    },
}

impl Counter {
    fn new(handle: Handle) -> Counter {
        Counter { handle }
    }

    /// What it holds.
    pub async fn get(&self) -> Result<i64> {
        let wire::GetReply { value } = self.handle.call(wire::GetRequest { object: self.handle.object() }).await?;
        Ok(value)
    }

    /// Adds to it, a negative number as well, and gives the sum. Fault: `CounterOverflow`, and nothing changed, when the sum leaves
    /// the range.
    pub async fn add(&self, by: i64) -> Result<i64> {
        let wire::AddReply { value } = self.handle.call(wire::AddRequest { object: self.handle.object(), by }).await?;
        Ok(value)
    }

    /// Sets it, and gives what it held before.
    pub async fn set(&self, value: i64) -> Result<i64> {
        let wire::SetReply { previous } = self.handle.call(wire::SetRequest { object: self.handle.object(), value }).await?;
        Ok(previous)
    }

    /// Sets it if it holds what is expected.
    pub async fn compare_and_set(&self, expected: i64, value: i64) -> Result<Swap> {
        let request = wire::CompareAndSetRequest { object: self.handle.object(), expected, value };
        let wire::CompareAndSetReply { swapped, value } = self.handle.call(request).await?;
        Ok(if swapped { Swap::Swapped } else { Swap::Kept { value } })
    }
}
