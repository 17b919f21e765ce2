//! The items of a stream, as they come to its caller.

use super::{
    CallError, Request,
    calling::{Reached, Reader, unfit},
    service::raw,
    wire,
};
use crate::{Payload, Result, objects::Handle};
use bursar_proto::v1;
use futures_util::{
    Stream,
    stream::{BoxStream, unfold},
};
use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

/// Items that one fetch asks for: as many as the broker keeps.
const BATCH: u32 = 256;

/// The items of a call, as they come. It ends behind the last item, or behind the first error that is not an item which cannot be read.
/// Dropping it tells the provider to stop.
#[must_use = "nothing is called before it is polled"]
pub struct Incoming<T, E = std::convert::Infallible> {
    items: BoxStream<'static, Result<T, CallError<E>>>,
}

impl<T, E> fmt::Debug for Incoming<T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Incoming").finish_non_exhaustive()
    }
}

impl<T, E> Stream for Incoming<T, E> {
    type Item = Result<T, CallError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.as_mut().poll_next(context)
    }
}

impl<T: Payload + 'static, E: 'static> Incoming<T, E> {
    pub(super) fn new(request: Request, read: Reader<E>) -> Incoming<T, E> {
        let stage = Stage::Unbegun(request);
        let next = move |stage: Stage| async move {
            let mut reading = match stage {
                Stage::Over => return None,
                Stage::Reading(reading) => reading,
                Stage::Unbegun(request) => match begin(request, read).await {
                    Ok(reading) => reading,
                    Err(error) => return Some((Err(error), Stage::Over)),
                },
            };
            match reading.next(read).await {
                Ok(Some(item)) => Some((reading.handle.decode(raw(item)).map_err(CallError::from), Stage::Reading(reading))),
                Ok(None) => None,
                Err(error) => Some((Err(error), Stage::Over)),
            }
        };
        Incoming { items: Box::pin(unfold(stage, next)) }
    }
}

enum Stage {
    Unbegun(Request),
    Reading(Reading),
    Over,
}

async fn begin<E>(request: Request, read: Reader<E>) -> Result<Reading, CallError<E>> {
    let handle = request.handle().clone();
    match request.invoke().await? {
        Reached::Stream(call) => Ok(Reading { handle, call, items: VecDeque::new(), end: None, is_over: false }),
        Reached::Failed(failed) => Err(read.read(failed, &handle)),
        Reached::Result(_) => Err(unfit("the method is no stream: ask for its result by `send`")),
    }
}

/// A stream that the broker has for this session.
struct Reading {
    handle: Handle,
    call: u64,
    items: VecDeque<v1::Value>,
    /// Behind them.
    end: Option<wire::next_reply::End>,
    /// The broker knows it no more.
    is_over: bool,
}

impl Reading {
    /// `None` behind the last.
    async fn next<E>(&mut self, read: Reader<E>) -> Result<Option<v1::Value>, CallError<E>> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Ok(Some(item));
            }
            match self.end.take() {
                Some(wire::next_reply::End::Ended(wire::Ended {})) => return Ok(None),
                Some(wire::next_reply::End::Failure(failure)) => return Err(read.read(failure.into(), &self.handle)),
                None => self.fetch().await?,
            }
        }
    }

    async fn fetch(&mut self) -> Result<()> {
        let request = wire::NextRequest { object: self.handle.object(), wait_ms: -1, call: self.call, max: BATCH };
        let reply = self.handle.call(request).await;
        self.is_over = reply.as_ref().map_or(true, |reply| reply.end.is_some());
        let wire::NextReply { call: _, items, end } = reply?;
        (self.items, self.end) = (items.into(), end);
        Ok(())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if !self.is_over {
            self.handle.tell(wire::AbandonRequest { object: self.handle.object(), call: self.call });
        }
    }
}
