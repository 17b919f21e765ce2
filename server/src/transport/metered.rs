//! A request body whose incomplete gRPC message counts against the budget.
//!
//! The decoder behind it reserves a message's whole length when its prefix has come, and gives the flow-control window back meanwhile.
//! So without this, one connection could make the broker hold a whole message for each of its streams. What a prefix announces counts,
//! and not what has come: many large reservations, each used a little, scatter over more memory than their bytes together.

use super::Connection;
use crate::faults;
use bursar_proto::{Fault, limits::MESSAGE_BYTES_MAX};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Compressed flag and length.
const PREFIX_BYTES: usize = 5;

/// A metered request body.
pub struct Metered {
    body: Incoming,
    connection: Arc<Connection>,
    boundary: Boundary,
    /// What is counted against the budget now.
    counted: u64,
}

impl Metered {
    /// Meters a body on its connection's budget.
    pub fn new(body: Incoming, connection: Arc<Connection>) -> Metered {
        Metered { body, connection, boundary: Boundary::default(), counted: 0 }
    }

    fn count(&mut self, partial: u64) -> Result<(), BoxError> {
        let budget = self.connection.parts_budget();
        if partial.saturating_sub(self.counted) > budget {
            let (what, limit) = ("bytes in partly received messages".into(), self.counted + budget);
            return Err(faults::status(&Fault::LimitReached { what, limit }).into());
        }
        self.connection.account_parts(self.counted, partial);
        self.counted = partial;
        Ok(())
    }
}

impl Body for Metered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    this.boundary.pass(data);
                    let partial = this.boundary.partial();
                    if let Err(status) = this.count(partial) {
                        return Poll::Ready(Some(Err(status)));
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.connection.account_parts(self.counted, 0);
    }
}

/// Follows the borders of length-prefixed messages.
#[derive(Default)]
struct Boundary {
    prefix: Vec<u8>,
    /// Bytes of the current message that are still to come.
    missing: u64,
    announced: u64,
}

impl Boundary {
    fn pass(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.missing == 0 {
                let take = data.len().min(PREFIX_BYTES - self.prefix.len());
                self.prefix.extend_from_slice(&data[..take]);
                data = &data[take..];
                if self.prefix.len() == PREFIX_BYTES {
                    let length = self.prefix[1..].try_into().expect("four bytes");
                    self.announced = u32::from_be_bytes(length).into();
                    self.missing = self.announced;
                    self.prefix.clear();
                }
            } else {
                let take = (data.len() as u64).min(self.missing);
                self.missing -= take;
                data = &data[take as usize..];
            }
        }
    }

    /// Bytes of a message that is not whole. One that is too large counts no more than the largest: the decoder refuses it.
    fn partial(&self) -> u64 {
        let announced = if self.missing > 0 { self.announced.min(MESSAGE_BYTES_MAX as u64) } else { 0 };
        self.prefix.len() as u64 + announced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_incomplete_message_counts() {
        let message = |length: u32| [&[0][..], &length.to_be_bytes(), &vec![7; length as usize]].concat();
        let bytes = [message(3), message(0), message(10)].concat();
        // However the bytes are cut, the count is that of the last, incomplete message.
        for cut in 1..7 {
            let mut boundary = Boundary::default();
            for piece in bytes[..8 + 5 + 5 + 6].chunks(cut) {
                boundary.pass(piece);
            }
            assert_eq!(boundary.partial(), 10, "cut {cut}");
            boundary.pass(&bytes[8 + 5 + 5 + 6..]);
            assert_eq!(boundary.partial(), 0);
            boundary.pass(&[0, 0]);
            assert_eq!(boundary.partial(), 2);
            boundary.pass(&[255, 255, 255, 1]);
            assert_eq!(boundary.partial(), MESSAGE_BYTES_MAX as u64, "more than that is not taken");
        }
    }
}
