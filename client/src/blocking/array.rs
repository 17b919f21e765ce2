//! The array for threads.

use super::{Manager, block_on};
use crate::{
    Result, Slice,
    array::{Builder, Number},
};
use std::fmt;

/// What an array is to be, before it is opened: [`array::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct ArrayBuilder<N> {
    inner: Builder<N>,
}

impl<N> From<Builder<N>> for ArrayBuilder<N> {
    fn from(inner: Builder<N>) -> ArrayBuilder<N> {
        ArrayBuilder { inner }
    }
}

impl<N: Number> ArrayBuilder<N> {
    /// See [`Builder::length`].
    pub fn length(self, numbers: u64) -> ArrayBuilder<N> {
        self.inner.length(numbers).into()
    }

    /// The array goes with the last session that opened it.
    pub fn ephemeral(self) -> ArrayBuilder<N> {
        self.inner.ephemeral().into()
    }

    /// See [`Builder::open_or_create`].
    pub fn open_or_create(self) -> Result<Array<N>> {
        Ok(block_on(self.inner.open_or_create())?.into())
    }

    /// See [`Builder::create`].
    pub fn create(self) -> Result<Array<N>> {
        Ok(block_on(self.inner.create())?.into())
    }

    /// See [`Builder::open`].
    pub fn open(self) -> Result<Array<N>> {
        Ok(block_on(self.inner.open())?.into())
    }
}

/// Numbers of one type: [`bursar::Array`](crate::Array) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::blocking::{Array, Manager};
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let hits: Array<u64> = manager.array("hits").length(7).open_or_create()?;
/// assert_eq!(hits.add(-1, 2)?, 2);
/// assert_eq!(hits.to_vec()?, [0, 0, 0, 0, 0, 0, 2]);
/// # Ok::<(), bursar::Error>(())
/// ```
pub struct Array<N> {
    inner: crate::Array<N>,
}

impl<N> Clone for Array<N> {
    fn clone(&self) -> Array<N> {
        Array { inner: self.inner.clone() }
    }
}

impl<N> fmt::Debug for Array<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl<N> From<crate::Array<N>> for Array<N> {
    fn from(inner: crate::Array<N>) -> Array<N> {
        Array { inner }
    }
}

impl<N> Array<N> {
    /// The name.
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// Tells this object from earlier and later ones of the same name.
    pub fn epoch(&self) -> u64 {
        self.inner.epoch()
    }

    /// Whether the opening of this handle created the object.
    pub fn was_created(&self) -> bool {
        self.inner.was_created()
    }

    /// The session through which it was opened.
    pub fn manager(&self) -> Manager {
        self.inner.manager().clone().into()
    }

    /// The async side of the same handle.
    pub fn as_async(&self) -> &crate::Array<N> {
        &self.inner
    }

    /// How many numbers it has, always.
    #[allow(clippy::len_without_is_empty, reason = "an array is never empty")]
    pub fn len(&self) -> u64 {
        self.inner.len()
    }
}

impl<N: Number> Array<N> {
    /// One number. Fault: `OutOfRange`.
    pub fn get(&self, index: i64) -> Result<N> {
        block_on(self.inner.get(index))
    }

    /// Sets one number. Fault: `OutOfRange`.
    pub fn set(&self, index: i64, number: N) -> Result<()> {
        block_on(self.inner.set(index, number))
    }

    /// Adds to one number, in one step, and gives the sum. Faults: `OutOfRange`, `CounterOverflow`.
    pub fn add(&self, index: i64, by: N) -> Result<N> {
        block_on(self.inner.add(index, by))
    }

    /// The numbers of a part of the array. See [`bursar::Array::get_range`](crate::Array::get_range).
    pub fn get_range(&self, slice: impl Into<Slice>) -> Result<Vec<N>> {
        block_on(self.inner.get_range(slice))
    }

    /// Sets the numbers of a part of the array. See [`bursar::Array::set_range`](crate::Array::set_range).
    pub fn set_range(&self, slice: impl Into<Slice>, numbers: &[N]) -> Result<()> {
        block_on(self.inner.set_range(slice, numbers))
    }

    /// All numbers. See [`bursar::Array::to_vec`](crate::Array::to_vec).
    pub fn to_vec(&self) -> Result<Vec<N>> {
        block_on(self.inner.to_vec())
    }
}
