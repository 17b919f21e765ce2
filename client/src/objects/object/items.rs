//! The items of a stream, on their way to its caller.
//!
//! What the broker has not taken waits here: as much as it takes at once, and no more. So a caller that does not read stops the method.

use super::{Answer, Failed, link::Link, service::value, wire};
use crate::{Encode, Fault, Raw, Result, objects::chunk::Pace};
use bursar_proto::v1;
use futures_util::{Stream, StreamExt, future::BoxFuture, stream::Fuse};
use std::{
    fmt,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

/// As many items, and bytes, as the broker keeps for a caller that has not read them.
const ITEMS_MAX: usize = 256;
const BYTES_MAX: usize = 256 << 10;

/// Where the items of a stream go. They leave in the order in which they were given.
pub struct Items {
    link: Arc<dyn Link>,
    provider: u64,
    call: u64,
}

impl fmt::Debug for Items {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Items").field("call", &self.call).finish()
    }
}

impl Items {
    pub(super) fn new(link: Arc<dyn Link>, provider: u64, call: u64) -> Items {
        Items { link, provider, call }
    }

    /// Gives one item, and waits until the broker has it: while the caller has not read what was given before. Many at a time are better
    /// given by [`Items::give_all`]. The error ends the call.
    pub async fn give<T: Encode + ?Sized>(&mut self, item: &T) -> Result<(), Failed> {
        let item = self.encode(item)?;
        self.put(vec![value(item)]).await.map(drop)
    }

    /// Gives all items of a stream, and the answer of the call. What is ready at the same time travels together.
    pub async fn give_all<T: Encode>(self, items: impl Stream<Item = T>) -> Answer {
        self.give_until(items.map(Ok)).await
    }

    /// As [`Items::give_all`], and the first error is the end.
    pub async fn give_until<T: Encode>(self, items: impl Stream<Item = Result<T, Failed>>) -> Answer {
        let items = items.map(|item| item.and_then(|item| self.encode(&item)));
        let giving = Giving { items: pin!(items.fuse()), to: &self, waiting: Waiting::default(), end: None, putting: None };
        giving.await
    }

    fn encode<T: Encode + ?Sized>(&self, item: &T) -> Result<Raw, Failed> {
        let raw = item.encode().map_err(|error| Failed::unwritable("an item", &error))?;
        check_size(&raw, self.link.payload_bytes_max(), "an item")?;
        Ok(raw)
    }

    fn put(&self, items: Vec<v1::Value>) -> BoxFuture<'static, Result<usize, Failed>> {
        let request = wire::YieldRequest { object: None, wait_ms: -1, provider: self.provider, call: self.call, items };
        let putting = self.link.r#yield(request);
        Box::pin(async move {
            let reply = putting.await.map_err(|error| match error.fault() {
                Some(Fault::NoSuchCall { .. }) => Failed::new(Failed::STOPPED, "nobody reads the items any more"),
                _ => Failed::new(Failed::STOPPED, format!("an item could not be given: {error}")),
            })?;
            Ok(reply.taken as usize)
        })
    }
}

/// That a payload is larger than the broker takes.
pub(super) fn check_size(raw: &Raw, limit: u64, what: &str) -> Result<(), Failed> {
    let size = raw.data.len() as u64;
    if size <= limit {
        return Ok(());
    }
    Err(Failed::new(Failed::CODEC, format!("{what} has {size} bytes, the limit is {limit}")))
}

/// Items that the broker has not taken.
#[derive(Default)]
struct Waiting {
    items: Vec<v1::Value>,
    bytes: usize,
    pace: Option<Pace>,
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.items.len() >= ITEMS_MAX || self.bytes >= BYTES_MAX
    }

    fn add(&mut self, item: Raw) {
        self.bytes += item.data.len();
        self.items.push(value(item));
    }

    fn next(&mut self) -> Vec<v1::Value> {
        self.pace.get_or_insert_with(Pace::new).first_of(&self.items).to_vec()
    }

    fn taken(&mut self, count: usize) {
        let count = count.min(self.items.len());
        self.bytes -= self.items.drain(..count).map(|item| item.data.len()).sum::<usize>();
        self.pace.get_or_insert_with(Pace::new).taken(count);
    }
}

/// Collects what is ready while the broker takes what was.
struct Giving<'a, S: Stream> {
    items: Pin<&'a mut Fuse<S>>,
    to: &'a Items,
    waiting: Waiting,
    /// Behind what waits.
    end: Option<Answer>,
    putting: Option<BoxFuture<'static, Result<usize, Failed>>>,
}

impl<S: Stream<Item = Result<Raw, Failed>>> Giving<'_, S> {
    fn collect(&mut self, context: &mut Context<'_>) {
        while self.end.is_none() && !self.waiting.is_full() {
            match self.items.as_mut().poll_next(context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(item))) => self.waiting.add(item),
                Poll::Ready(Some(Err(failed))) => self.end = Some(Answer::Failed(failed)),
                Poll::Ready(None) => self.end = Some(Answer::Ended),
            }
        }
    }
}

impl<S: Stream<Item = Result<Raw, Failed>>> Future for Giving<'_, S> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let this = &mut *self;
        loop {
            this.collect(context);
            if let Some(putting) = &mut this.putting {
                match ready!(putting.as_mut().poll(context)) {
                    Ok(taken) => this.waiting.taken(taken),
                    Err(failed) => return Poll::Ready(Answer::Failed(failed)),
                }
                this.putting = None;
            } else if !this.waiting.items.is_empty() {
                this.putting = Some(this.to.put(this.waiting.next()));
            } else {
                return this.end.take().map_or(Poll::Pending, Poll::Ready);
            }
        }
    }
}
