//! The list: a sequence of values, as Python's.

mod builder;
mod pages;

pub use builder::Builder;
pub use pages::Items;

use super::{Handle, reference::travels, slice::Slice};
use crate::{Error, Fault, Manager, Payload, Raw, Result, call::Verb};
use bursar_proto::{
    limits,
    v1::{self, list as wire},
};
use std::{borrow::Borrow, fmt, marker::PhantomData};

/// A list of values of one type, shared by every process that opens its name.
///
/// Indices count from 0, negative ones from the end. Where Python raises `IndexError` the fault is `OutOfRange`, and where it raises
/// `ValueError`, `NoSuchValue`. Values are equal when they are written by the same bytes of the same codec, whatever their type says.
/// Each verb is one step; to change a list by what it is, read and change are to be one step too: [`List::sort`] does that.
///
/// Handles are cheap to clone. After the object was deleted, calls fail with the fault `Gone`, also when its name was created anew.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::{List, Manager};
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let steps: List<String> = manager.list("steps").open_or_create().await?;
/// steps.extend(["mix", "bake"].map(String::from)).await?;
/// steps.insert(0, "weigh".to_owned()).await?;
/// assert_eq!(steps.get(-1).await?, "bake");
/// assert_eq!(steps.get_range(..-1).await?, ["weigh", "mix"]);
/// assert_eq!(steps.pop().await?, "bake");
/// assert_eq!(steps.len().await?, 2);
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct List<T = Raw> {
    handle: Handle,
    items: PhantomData<fn(T) -> T>,
}

travels!(List<T>, "list", |handle| List { handle, items: PhantomData });

impl<T> Clone for List<T> {
    fn clone(&self) -> List<T> {
        List { handle: self.handle.clone(), items: PhantomData }
    }
}

impl<T> fmt::Debug for List<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("List").field("name", &self.name()).field("epoch", &self.epoch()).finish()
    }
}

impl<T> List<T> {
    /// The name.
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// Tells this object from earlier and later ones of the same name.
    pub fn epoch(&self) -> u64 {
        self.handle.epoch()
    }

    /// Whether the opening of this handle created the object.
    pub fn was_created(&self) -> bool {
        self.handle.created()
    }

    /// The session through which it was opened.
    pub fn manager(&self) -> &Manager {
        self.handle.manager()
    }
}

impl<T: Payload> List<T> {
    /// Adds a value at the end and gives the length. Faults: `TooLarge`; `LimitReached`, when the list is full.
    #[doc(alias = "push")]
    pub async fn append(&self, item: impl Borrow<T>) -> Result<u64> {
        self.send(vec![self.encode::<wire::ExtendRequest>(item.borrow())?]).await
    }

    /// Adds values at the end, in order, and gives the length; without values it only gives the length.
    ///
    /// It is one step as long as they are at most 10,000 and of the size of one payload (128 MiB, unless the broker is configured
    /// otherwise) in all. More are added step by step: others see the first before the last are added, and after an error or when
    /// the future is dropped, some may have been added. Faults: those of [`List::append`].
    pub async fn extend<I: Borrow<T>>(&self, items: impl IntoIterator<Item = I>) -> Result<u64> {
        let bytes_max = self.manager().session().payload_bytes_max();
        let (mut chunk, mut bytes, mut len) = (Vec::new(), 0, None);
        for item in items {
            let value = self.encode::<wire::ExtendRequest>(item.borrow())?;
            let size = prost::Message::encoded_len(&value) as u64;
            let is_full = chunk.len() >= limits::BATCH_MAX || bytes + size > bytes_max;
            if is_full && !chunk.is_empty() {
                len = Some(self.send(std::mem::take(&mut chunk)).await?);
                bytes = 0;
            }
            chunk.push(value);
            bytes += size;
        }
        match len {
            Some(len) if chunk.is_empty() => Ok(len),
            None if chunk.is_empty() => self.len().await,
            _ => self.send(chunk).await,
        }
    }

    async fn send(&self, values: Vec<v1::Value>) -> Result<u64> {
        let request = wire::ExtendRequest { object: self.handle.object(), values };
        let wire::ExtendReply { len, revision: _ } = self.handle.call(request).await?;
        Ok(len)
    }

    /// Inserts a value in front of the one at `index` and gives the length. An index outside means the nearer end, as in Python.
    /// Faults: those of [`List::append`].
    pub async fn insert(&self, index: i64, item: impl Borrow<T>) -> Result<u64> {
        let value = Some(self.encode::<wire::InsertRequest>(item.borrow())?);
        let request = wire::InsertRequest { object: self.handle.object(), index, value };
        let wire::InsertReply { len, revision: _ } = self.handle.call(request).await?;
        Ok(len)
    }

    /// One value: Python's `list[index]`. Fault: `OutOfRange`.
    pub async fn get(&self, index: i64) -> Result<T> {
        let wire::GetReply { value, revision: _ } =
            self.handle.call(wire::GetRequest { object: self.handle.object(), index }).await?;
        self.decode::<wire::GetRequest>(value)
    }

    /// Python's `list[index] = item`. Faults: `OutOfRange`, `TooLarge`, `LimitReached`.
    pub async fn set(&self, index: i64, item: impl Borrow<T>) -> Result<()> {
        let value = Some(self.encode::<wire::SetRequest>(item.borrow())?);
        let request = wire::SetRequest { object: self.handle.object(), index, value, if_revision: None };
        let wire::SetReply { revision: _ } = self.handle.call(request).await?;
        Ok(())
    }

    /// Removes the last value and gives it. Fault: `OutOfRange`, when the list is empty.
    pub async fn pop(&self) -> Result<T> {
        self.take(None).await
    }

    /// Removes the value at `index` and gives it. Fault: `OutOfRange`.
    pub async fn pop_at(&self, index: i64) -> Result<T> {
        self.take(Some(index)).await
    }

    async fn take(&self, index: Option<i64>) -> Result<T> {
        let request = wire::PopRequest { object: self.handle.object(), index };
        let wire::PopReply { value, len: _, revision: _ } = self.handle.call(request).await?;
        self.decode::<wire::PopRequest>(value)
    }

    /// Removes the first value that is equal to this one, and gives the index that it had. Fault: `NoSuchValue`.
    pub async fn remove(&self, item: impl Borrow<T>) -> Result<u64> {
        let value = Some(self.encode::<wire::RemoveRequest>(item.borrow())?);
        let request = wire::RemoveRequest { object: self.handle.object(), value };
        let wire::RemoveReply { index, revision: _ } = self.handle.call(request).await?;
        Ok(index)
    }

    /// Where the first value is that is equal to this one; `None`: there is none.
    #[doc(alias = "index")]
    pub async fn index_of(&self, item: impl Borrow<T>) -> Result<Option<u64>> {
        self.index_within(item, ..).await
    }

    /// As [`List::index_of`], of those in this part of the list; the index is that in the list. A step is not looked at.
    pub async fn index_within(&self, item: impl Borrow<T>, slice: impl Into<Slice>) -> Result<Option<u64>> {
        let Slice { start, stop, step: _ } = slice.into();
        let value = Some(self.encode::<wire::IndexRequest>(item.borrow())?);
        let request = wire::IndexRequest { object: self.handle.object(), value, start, stop };
        match self.handle.call(request).await {
            Ok(wire::IndexReply { index }) => Ok(Some(index)),
            Err(error) if matches!(error.fault(), Some(Fault::NoSuchValue {})) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a value is equal to this one.
    pub async fn contains(&self, item: impl Borrow<T>) -> Result<bool> {
        Ok(self.index_of(item).await?.is_some())
    }

    /// How many values are equal to this one.
    pub async fn count(&self, item: impl Borrow<T>) -> Result<u64> {
        let value = Some(self.encode::<wire::CountRequest>(item.borrow())?);
        let request = wire::CountRequest { object: self.handle.object(), value };
        let wire::CountReply { count } = self.handle.call(request).await?;
        Ok(count)
    }

    /// Turns the list round, in place and in one step.
    pub async fn reverse(&self) -> Result<()> {
        let wire::ReverseReply { revision: _ } = self.handle.call(wire::ReverseRequest { object: self.handle.object() }).await?;
        Ok(())
    }

    /// How many values there are.
    pub async fn len(&self) -> Result<u64> {
        let wire::LenReply { len, revision: _ } = self.handle.call(wire::LenRequest { object: self.handle.object() }).await?;
        Ok(len)
    }

    /// Whether there are no values.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }

    /// Removes all values, in one step. Gives their number.
    pub async fn clear(&self) -> Result<u64> {
        self.delete_range(..).await
    }

    /// Removes the values of a part of the list, in one step: Python's `del list[start:stop:step]`. Gives their number.
    pub async fn delete_range(&self, slice: impl Into<Slice>) -> Result<u64> {
        let slice = Some(slice.into().to_wire());
        let request = wire::DeleteRequest { object: self.handle.object(), slice, if_revision: None };
        let wire::DeleteReply { count, revision: _ } = self.handle.call(request).await?;
        Ok(count)
    }

    /// Puts these values, at most 10,000, into the place of a part of the list, in one step, and gives the length of the list: Python's
    /// `list[start:stop:step] = items`. Faults: `TooLarge`, `LimitReached`; `BadArgument`, when the slice has a step other than 1 and
    /// they are not as many as it has.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::{List, Slice};
    ///
    /// let list: List<u32> = manager.list("numbers").create().await?;
    /// list.extend(0..6).await?;
    /// list.set_range(1..3, [10, 20, 30]).await?;
    /// assert_eq!(list.to_vec().await?, [0, 10, 20, 30, 3, 4, 5]);
    /// list.set_range(Slice::from(..).step(3), [7, 8, 9]).await?;
    /// assert_eq!(list.to_vec().await?, [7, 10, 20, 8, 3, 4, 9]);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn set_range<I: Borrow<T>>(&self, slice: impl Into<Slice>, items: impl IntoIterator<Item = I>) -> Result<u64> {
        let encode = |item: I| self.encode::<wire::ReplaceRequest>(item.borrow());
        let values = items.into_iter().map(encode).collect::<Result<_>>()?;
        self.replace(slice.into(), values, None).await
    }

    async fn replace(&self, slice: Slice, values: Vec<v1::Value>, if_revision: Option<u64>) -> Result<u64> {
        let (object, slice) = (self.handle.object(), Some(slice.to_wire()));
        let request = wire::ReplaceRequest { object, slice, values, if_revision };
        self.handle.check_size(&request)?;
        let wire::ReplaceReply { len, revision: _ } = self.handle.call(request).await?;
        Ok(len)
    }

    /// Sorts the list; equal values keep their order. See [`List::sort_by_key`].
    pub async fn sort(&self) -> Result<()>
    where
        T: Ord,
    {
        self.sort_with(T::cmp).await
    }

    /// Sorts the list by a key; equal ones keep their order. The list is read and, if nobody changed it meanwhile, replaced, in one
    /// step; otherwise that is done again. So it is for lists of at most 10,000 values and of the size of one payload in all: others
    /// are the faults `BadArgument` and `TooLarge`.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let names: bursar::List<String> = manager.list("names").create().await?;
    /// names.extend(["Grace", "Ada", "Barbara"].map(String::from)).await?;
    /// names.sort().await?;
    /// assert_eq!(names.to_vec().await?, ["Ada", "Barbara", "Grace"]);
    /// names.sort_by_key(|name| name.len()).await?;
    /// assert_eq!(names.to_vec().await?, ["Ada", "Grace", "Barbara"]);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn sort_by_key<K: Ord>(&self, key: impl Fn(&T) -> K) -> Result<()> {
        self.sort_with(|one, other| key(one).cmp(&key(other))).await
    }

    async fn sort_with(&self, compare: impl Fn(&T, &T) -> std::cmp::Ordering) -> Result<()> {
        loop {
            let (values, revision) = self.read_whole(Slice::default()).await?;
            // The bytes go with what they say: to write them anew could change them.
            let decode = |value: v1::Value| Ok((self.decode_value(value.clone())?, value));
            let mut pairs: Vec<(T, v1::Value)> = values.into_iter().map(decode).collect::<Result<_>>()?;
            if pairs.is_sorted_by(|(one, _), (other, _)| compare(one, other).is_le()) {
                return Ok(());
            }
            pairs.sort_by(|(one, _), (other, _)| compare(one, other));
            let sorted = pairs.into_iter().map(|(_, value)| value).collect();
            match self.replace(Slice::default(), sorted, Some(revision)).await {
                Ok(_) => return Ok(()),
                Err(error) if matches!(error.fault(), Some(Fault::ListChanged { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn encode<V: Verb>(&self, item: &T) -> Result<v1::Value> {
        let Raw { data, codec } = self.handle.encode(item, V::CALL)?;
        Ok(v1::Value { data, codec })
    }

    fn decode<V: Verb>(&self, value: Option<v1::Value>) -> Result<T> {
        self.decode_value(value.ok_or_else(|| Error::protocol(format!("{}: a reply without a value", V::CALL)))?)
    }

    fn decode_value(&self, value: v1::Value) -> Result<T> {
        let v1::Value { data, codec } = value;
        self.handle.decode(Raw { data, codec })
    }
}
