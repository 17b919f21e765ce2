//! The counter for threads.

use super::{
    block_on,
    opened::{opened, opening},
};
use crate::{
    Result,
    counter::{Builder, Swap},
};

/// What a counter is to be, before it is opened: [`counter::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct CounterBuilder {
    inner: Builder,
}

opening!(CounterBuilder, Counter);

impl CounterBuilder {
    /// See [`Builder::initial`].
    pub fn initial(self, initial: i64) -> CounterBuilder {
        self.inner.initial(initial).into()
    }
}

/// A number: [`bursar::Counter`](crate::Counter) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::blocking::Manager;
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let visits = manager.counter("visits").open_or_create()?;
/// assert_eq!(visits.add(1)?, 1);
/// # Ok::<(), bursar::Error>(())
/// ```
#[derive(Clone)]
pub struct Counter {
    inner: crate::Counter,
}

opened!(Counter);

impl Counter {
    /// What it holds.
    pub fn get(&self) -> Result<i64> {
        block_on(self.inner.get())
    }

    /// Adds to it, and gives the sum. Fault: `CounterOverflow`.
    pub fn add(&self, by: i64) -> Result<i64> {
        block_on(self.inner.add(by))
    }

    /// Sets it, and gives what it held before.
    pub fn set(&self, value: i64) -> Result<i64> {
        block_on(self.inner.set(value))
    }

    /// Sets it if it holds what is expected.
    pub fn compare_and_set(&self, expected: i64, value: i64) -> Result<Swap> {
        block_on(self.inner.compare_and_set(expected, value))
    }
}
