//! Transactions for threads: the same tests and steps, and an `execute` that waits.

use super::{Counter, Event, Kv, Lease, LockGuard, Manager, Queue, block_on};
use crate::{
    Payload, Result, TxnReply, kv, queue,
    txn::{Comparison, Key, Step, Test},
};
use std::{borrow::Borrow, time::Duration};

/// Several steps on several objects, of which all happen or none: [`bursar::Txn`](crate::Txn) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # let manager = bursar::blocking::Manager::connect(broker.address(), broker.authkey())?;
/// use bursar::blocking::{Kv, Queue};
///
/// let pages: Queue<String> = manager.queue("pages").create()?;
/// let titles: Kv<String> = manager.kv("titles").create()?;
/// pages.put("/index".to_owned())?;
/// let page = pages.get()?;
/// let both = manager.txn().then(titles.step_put(&page, "Welcome".to_owned())).then(page.step_done());
/// assert!(both.execute()?.held);
/// pages.join()?;
/// # Ok::<(), bursar::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing happens before execute"]
pub struct Txn {
    inner: crate::Txn,
}

impl Manager {
    /// Begins a transaction; nothing happens before its `execute`.
    pub fn txn(&self) -> Txn {
        Txn { inner: self.as_async().txn() }
    }
}

impl Txn {
    /// One more test. The steps of `then` are executed if all tests hold, also if there are none.
    pub fn when(self, test: Test) -> Txn {
        Txn { inner: self.inner.when(test) }
    }

    /// One more step for the case that all tests hold.
    pub fn then(self, step: Step) -> Txn {
        Txn { inner: self.inner.then(step) }
    }

    /// One more step for the case that a test does not hold.
    pub fn otherwise(self, step: Step) -> Txn {
        Txn { inner: self.inner.otherwise(step) }
    }

    /// Does it, as one step. See [`bursar::Txn::execute`](crate::Txn::execute).
    pub fn execute(self) -> Result<TxnReply> {
        block_on(self.inner.execute())
    }
}

/// The tests and steps of a [`Txn`].
impl<V> Kv<V> {
    /// A key, to be tested in a transaction.
    pub fn key(&self, key: impl Into<String>) -> Key<V> {
        self.as_async().key(key)
    }
}

/// The tests and steps of a [`Txn`].
impl<V: Payload> Kv<V> {
    /// See [`bursar::Kv::step_get`](crate::Kv::step_get).
    pub fn step_get(&self, key: &str) -> Step {
        self.as_async().step_get(key)
    }

    /// See [`bursar::Kv::step_contains`](crate::Kv::step_contains).
    pub fn step_contains(&self, key: &str) -> Step {
        self.as_async().step_contains(key)
    }

    /// See [`bursar::Kv::step_put`](crate::Kv::step_put).
    pub fn step_put(&self, key: &str, value: impl Borrow<V>) -> Step {
        self.as_async().step_put(key, value)
    }

    /// See [`bursar::Kv::step_put_with`](crate::Kv::step_put_with).
    pub fn step_put_with(&self, key: &str, value: impl Borrow<V>, options: &kv::PutOptions) -> Step {
        self.as_async().step_put_with(key, value, options)
    }

    /// See [`bursar::Kv::step_setdefault`](crate::Kv::step_setdefault).
    pub fn step_setdefault(&self, key: &str, value: impl Borrow<V>) -> Step {
        self.as_async().step_setdefault(key, value)
    }

    /// See [`bursar::Kv::step_delete`](crate::Kv::step_delete).
    pub fn step_delete(&self, key: &str) -> Step {
        self.as_async().step_delete(key)
    }

    /// See [`bursar::Kv::step_incr`](crate::Kv::step_incr).
    pub fn step_incr(&self, key: &str, by: i64) -> Step {
        self.as_async().step_incr(key, by)
    }
}

/// The tests and steps of a [`Txn`].
impl<T: Payload> Queue<T> {
    /// See [`bursar::Queue::test_empty`](crate::Queue::test_empty).
    pub fn test_empty(&self) -> Test {
        self.as_async().test_empty()
    }

    /// See [`bursar::Queue::step_put`](crate::Queue::step_put).
    pub fn step_put(&self, item: impl Borrow<T>) -> Step {
        self.as_async().step_put(item)
    }

    /// See [`bursar::Queue::step_put_with`](crate::Queue::step_put_with).
    pub fn step_put_with(&self, item: impl Borrow<T>, options: &queue::PutOptions) -> Step {
        self.as_async().step_put_with(item, options)
    }

    /// See [`bursar::Queue::step_put_many`](crate::Queue::step_put_many).
    pub fn step_put_many<I: Borrow<T>>(&self, items: impl IntoIterator<Item = I>) -> Step {
        self.as_async().step_put_many(items)
    }
}

/// The tests and steps of a [`Txn`]. The lease is settled if the step was executed, and held on if not.
impl<T> Lease<T> {
    /// See [`bursar::Lease::test_held`](crate::Lease::test_held).
    pub fn test_held(&self) -> Test {
        self.as_async().test_held()
    }

    /// See [`bursar::Lease::step_done`](crate::Lease::step_done).
    pub fn step_done(&self) -> Step {
        self.as_async().step_done()
    }

    /// See [`bursar::Lease::step_retry`](crate::Lease::step_retry).
    pub fn step_retry(&self) -> Step {
        self.as_async().step_retry()
    }

    /// See [`bursar::Lease::step_retry_because`](crate::Lease::step_retry_because).
    pub fn step_retry_because(&self, why: impl Into<String>, delay: Option<Duration>) -> Step {
        self.as_async().step_retry_because(why, delay)
    }

    /// See [`bursar::Lease::step_release`](crate::Lease::step_release).
    pub fn step_release(&self) -> Step {
        self.as_async().step_release()
    }

    /// See [`bursar::Lease::step_park`](crate::Lease::step_park).
    pub fn step_park(&self, why: impl Into<String>) -> Step {
        self.as_async().step_park(why)
    }
}

/// The tests and steps of a [`Txn`].
impl Counter {
    /// See [`bursar::Counter::test`](crate::Counter::test).
    pub fn test(&self, comparison: Comparison, number: i64) -> Test {
        self.as_async().test(comparison, number)
    }

    /// See [`bursar::Counter::step_get`](crate::Counter::step_get).
    pub fn step_get(&self) -> Step {
        self.as_async().step_get()
    }

    /// See [`bursar::Counter::step_add`](crate::Counter::step_add).
    pub fn step_add(&self, by: i64) -> Step {
        self.as_async().step_add(by)
    }

    /// See [`bursar::Counter::step_set`](crate::Counter::step_set).
    pub fn step_set(&self, value: i64) -> Step {
        self.as_async().step_set(value)
    }
}

/// The tests and steps of a [`Txn`].
impl Event {
    /// See [`bursar::Event::test`](crate::Event::test).
    pub fn test(&self, is_set: bool) -> Test {
        self.as_async().test(is_set)
    }

    /// See [`bursar::Event::step_set`](crate::Event::step_set).
    pub fn step_set(&self) -> Step {
        self.as_async().step_set()
    }

    /// See [`bursar::Event::step_clear`](crate::Event::step_clear).
    pub fn step_clear(&self) -> Step {
        self.as_async().step_clear()
    }
}

/// The step of a [`Txn`]; [`Test::held`] of the guard's fence is the test.
impl LockGuard {
    /// See [`bursar::LockGuard::step_release`](crate::LockGuard::step_release).
    pub fn step_release(&self) -> Step {
        self.as_async().step_release()
    }
}
