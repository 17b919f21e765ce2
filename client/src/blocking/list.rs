//! The list for threads.

use super::{Manager, block_on};
use crate::{
    Error, Payload, Raw, Result, Slice,
    list::{self, Builder},
};
use std::{borrow::Borrow, fmt};

/// What a list is to be, before it is opened: [`list::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct ListBuilder<T> {
    inner: Builder<T>,
}

impl<T> From<Builder<T>> for ListBuilder<T> {
    fn from(inner: Builder<T>) -> ListBuilder<T> {
        ListBuilder { inner }
    }
}

impl<T: Payload> ListBuilder<T> {
    /// See [`Builder::max_len`].
    pub fn max_len(self, values: u64) -> ListBuilder<T> {
        self.inner.max_len(values).into()
    }

    /// See [`Builder::max_bytes`].
    pub fn max_bytes(self, bytes: u64) -> ListBuilder<T> {
        self.inner.max_bytes(bytes).into()
    }

    /// The list goes with the last session that opened it.
    pub fn ephemeral(self) -> ListBuilder<T> {
        self.inner.ephemeral().into()
    }

    /// See [`Builder::open_or_create`].
    pub fn open_or_create(self) -> Result<List<T>> {
        Ok(block_on(self.inner.open_or_create())?.into())
    }

    /// See [`Builder::create`].
    pub fn create(self) -> Result<List<T>> {
        Ok(block_on(self.inner.create())?.into())
    }

    /// See [`Builder::open`].
    pub fn open(self) -> Result<List<T>> {
        Ok(block_on(self.inner.open())?.into())
    }
}

/// A list of values: [`bursar::List`](crate::List) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::blocking::{List, Manager};
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let list: List<u32> = manager.list("numbers").open_or_create()?;
/// list.extend([3, 1, 2])?;
/// list.sort()?;
/// assert_eq!(list.iter().collect::<Result<Vec<_>, _>>()?, [1, 2, 3]);
/// # Ok::<(), bursar::Error>(())
/// ```
pub struct List<T = Raw> {
    inner: crate::List<T>,
}

impl<T> Clone for List<T> {
    fn clone(&self) -> List<T> {
        List { inner: self.inner.clone() }
    }
}

impl<T> fmt::Debug for List<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl<T> From<crate::List<T>> for List<T> {
    fn from(inner: crate::List<T>) -> List<T> {
        List { inner }
    }
}

impl<T> List<T> {
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
    pub fn as_async(&self) -> &crate::List<T> {
        &self.inner
    }
}

impl<T: Payload> List<T> {
    /// Adds a value at the end and gives the length. See [`bursar::List::append`](crate::List::append).
    #[doc(alias = "push")]
    pub fn append(&self, item: impl Borrow<T>) -> Result<u64> {
        block_on(self.inner.append(item))
    }

    /// Adds values at the end, in order, and gives the length. See [`bursar::List::extend`](crate::List::extend).
    pub fn extend<I: Borrow<T>>(&self, items: impl IntoIterator<Item = I>) -> Result<u64> {
        block_on(self.inner.extend(items))
    }

    /// Inserts a value in front of the one at `index` and gives the length. See [`bursar::List::insert`](crate::List::insert).
    pub fn insert(&self, index: i64, item: impl Borrow<T>) -> Result<u64> {
        block_on(self.inner.insert(index, item))
    }

    /// One value. Fault: `OutOfRange`.
    pub fn get(&self, index: i64) -> Result<T> {
        block_on(self.inner.get(index))
    }

    /// Replaces one value. Fault: `OutOfRange`.
    pub fn set(&self, index: i64, item: impl Borrow<T>) -> Result<()> {
        block_on(self.inner.set(index, item))
    }

    /// Removes the last value and gives it. Fault: `OutOfRange`, when the list is empty.
    pub fn pop(&self) -> Result<T> {
        block_on(self.inner.pop())
    }

    /// Removes the value at `index` and gives it. Fault: `OutOfRange`.
    pub fn pop_at(&self, index: i64) -> Result<T> {
        block_on(self.inner.pop_at(index))
    }

    /// Removes the first value that is equal to this one, and gives the index that it had. Fault: `NoSuchValue`.
    pub fn remove(&self, item: impl Borrow<T>) -> Result<u64> {
        block_on(self.inner.remove(item))
    }

    /// Where the first value is that is equal to this one; `None`: there is none.
    #[doc(alias = "index")]
    pub fn index_of(&self, item: impl Borrow<T>) -> Result<Option<u64>> {
        block_on(self.inner.index_of(item))
    }

    /// As [`List::index_of`], of those in this part of the list. See [`bursar::List::index_within`](crate::List::index_within).
    pub fn index_within(&self, item: impl Borrow<T>, slice: impl Into<Slice>) -> Result<Option<u64>> {
        block_on(self.inner.index_within(item, slice))
    }

    /// Whether a value is equal to this one.
    pub fn contains(&self, item: impl Borrow<T>) -> Result<bool> {
        block_on(self.inner.contains(item))
    }

    /// How many values are equal to this one.
    pub fn count(&self, item: impl Borrow<T>) -> Result<u64> {
        block_on(self.inner.count(item))
    }

    /// Turns the list round, in place and in one step.
    pub fn reverse(&self) -> Result<()> {
        block_on(self.inner.reverse())
    }

    /// How many values there are.
    pub fn len(&self) -> Result<u64> {
        block_on(self.inner.len())
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> Result<bool> {
        block_on(self.inner.is_empty())
    }

    /// Removes all values, in one step. Gives their number.
    pub fn clear(&self) -> Result<u64> {
        block_on(self.inner.clear())
    }

    /// All values, as they were at one moment. See [`bursar::List::to_vec`](crate::List::to_vec).
    pub fn to_vec(&self) -> Result<Vec<T>> {
        block_on(self.inner.to_vec())
    }

    /// The values of a part of the list, as they were at one moment. See [`bursar::List::get_range`](crate::List::get_range).
    pub fn get_range(&self, slice: impl Into<Slice>) -> Result<Vec<T>> {
        block_on(self.inner.get_range(slice))
    }

    /// Puts these values into the place of a part of the list, and gives the length of the list. See
    /// [`bursar::List::set_range`](crate::List::set_range).
    pub fn set_range<I: Borrow<T>>(&self, slice: impl Into<Slice>, items: impl IntoIterator<Item = I>) -> Result<u64> {
        block_on(self.inner.set_range(slice, items))
    }

    /// Removes the values of a part of the list. Gives their number.
    pub fn delete_range(&self, slice: impl Into<Slice>) -> Result<u64> {
        block_on(self.inner.delete_range(slice))
    }

    /// Sorts the list; equal values keep their order. See [`bursar::List::sort`](crate::List::sort).
    pub fn sort(&self) -> Result<()>
    where
        T: Ord,
    {
        block_on(self.inner.sort())
    }

    /// Sorts the list by a key; equal ones keep their order. See [`bursar::List::sort_by_key`](crate::List::sort_by_key).
    pub fn sort_by_key<K: Ord>(&self, key: impl Fn(&T) -> K) -> Result<()> {
        block_on(self.inner.sort_by_key(key))
    }

    /// Goes through the values, page by page. See [`bursar::List::iter`](crate::List::iter).
    pub fn iter(&self) -> Items<T> {
        Items { inner: self.inner.iter(), over: false }
    }
}

/// Goes through the values of a list: [`list::Items`] for threads. It ends behind the first error, except that of a value which is not
/// a `T`.
#[derive(Debug)]
pub struct Items<T> {
    inner: list::Items<T>,
    over: bool,
}

impl<T: Payload> Iterator for Items<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        if self.over {
            return None;
        }
        let next = block_on(self.inner.next()).transpose();
        self.over = matches!(&next, Some(Err(error)) if !matches!(error, Error::Codec { .. }));
        next
    }
}
