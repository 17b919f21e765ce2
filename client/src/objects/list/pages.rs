//! Reading a list that does not fit into one reply.

use super::{List, wire};
use crate::{Payload, Result, objects::slice::Slice};
use bursar_proto::{limits, v1};
use std::collections::VecDeque;

impl<T: Payload> List<T> {
    /// All values, as they were at one moment. A list that does not fit into one reply (10,000 values, 1 MiB) is read in pages, and
    /// from the beginning again if it changes meanwhile.
    pub async fn to_vec(&self) -> Result<Vec<T>> {
        self.get_range(..).await
    }

    /// The values of a part of the list, as they were at one moment: Python's `list[start:stop:step]`. In pages, as [`List::to_vec`].
    pub async fn get_range(&self, slice: impl Into<Slice>) -> Result<Vec<T>> {
        let (values, _) = self.read_whole(slice.into()).await?;
        values.into_iter().map(|value| self.decode_value(value)).collect()
    }

    /// With the revision that all of them are of.
    pub(super) async fn read_whole(&self, slice: Slice) -> Result<(Vec<v1::Value>, u64)> {
        let (mut values, mut first_revision) = (Vec::new(), 0);
        loop {
            let wire::ReadReply { values: page, more, revision } = self.read_page(slice, values.len() as u64).await?;
            if values.is_empty() {
                first_revision = revision;
            }
            if revision != first_revision {
                values.clear();
                continue;
            }
            let is_last = !more || page.is_empty();
            values.extend(page);
            if is_last {
                return Ok((values, revision));
            }
        }
    }

    async fn read_page(&self, slice: Slice, skip: u64) -> Result<wire::ReadReply> {
        let (object, slice, limit) = (self.handle.object(), Some(slice.to_wire()), limits::BATCH_MAX as u32);
        self.handle.call(wire::ReadRequest { object, slice, skip, limit }).await
    }

    /// Goes through the values from the first one on, page by page, and holds no more than a page. As with Python's iterators, it
    /// counts indices: what is inserted or removed before the place where it is shifts what comes next.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let list: bursar::List<u32> = manager.list("numbers").create().await?;
    /// list.extend(0..100).await?;
    /// let (mut items, mut sum) = (list.iter(), 0);
    /// while let Some(item) = items.next().await? {
    ///     sum += item;
    /// }
    /// assert_eq!(sum, 4950);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn iter(&self) -> Items<T> {
        Items { list: self.clone(), page: VecDeque::new(), read: 0, is_over: false }
    }
}

/// Goes through the values of a list. It holds nothing at the broker between two calls of `next`.
#[derive(Debug)]
pub struct Items<T> {
    list: List<T>,
    page: VecDeque<v1::Value>,
    /// Values that were read so far, those of this page included.
    read: u64,
    is_over: bool,
}

impl<T: Payload> Items<T> {
    /// The next value; `None`: that was the last one, and it stays so. Dropping the future loses none.
    ///
    /// [`Error::Codec`](crate::Error::Codec), when a value is not a `T`: the next call goes on behind it.
    pub async fn next(&mut self) -> Result<Option<T>> {
        if self.page.is_empty() && !self.is_over {
            let wire::ReadReply { values, more, revision: _ } = self.list.read_page(Slice::default(), self.read).await?;
            self.is_over = !more || values.is_empty();
            self.read += values.len() as u64;
            self.page = values.into();
        }
        self.page.pop_front().map(|value| self.list.decode_value(value)).transpose()
    }
}
