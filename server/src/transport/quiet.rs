//! A Unix stream that wakes its task for what can be read, and for room to write only while it waits for room.
//!
//! The SDK has the same file for the other end: neither crate may use the other's, and `proto` knows no sockets.
//!
//! tokio's own asks to be told of both from the beginning, and a Unix socket has room anew each time its peer reads: one useless
//! wake-up of this process for each message that it sends. So writes are tried first, and only one that finds no room asks for
//! room, by a second descriptor of the same socket, because one descriptor has one registration.

use std::{
    io::{self, IoSlice, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

/// See the module.
#[derive(Debug)]
pub(super) struct QuietStream {
    stream: AsyncFd<UnixStream>,
    /// While a write waits.
    room: Option<AsyncFd<UnixStream>>,
}

impl QuietStream {
    /// Takes a connected stream of tokio's over.
    pub fn new(stream: tokio::net::UnixStream) -> io::Result<QuietStream> {
        Ok(QuietStream { stream: registered(stream.into_std()?, Interest::READABLE)?, room: None })
    }

    fn poll_write_with(
        &mut self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&UnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(self.stream.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => {
                    self.room = None;
                    return Poll::Ready(outcome);
                }
            }
            let room = match self.room.take() {
                Some(room) => room,
                None => registered(self.stream.get_ref().try_clone()?, Interest::WRITABLE)?,
            };
            ready!(self.room.insert(room).poll_write_ready(context))?.clear_ready();
        }
    }
}

fn registered(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    // Its successor is `unsafe` for the sake of types that lie about their descriptor; a stream does not.
    #[allow(deprecated)]
    AsyncFd::with_interest(stream, interest)
}

impl AsyncRead for QuietStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.stream.poll_read_ready(context))?;
            let space = buffer.initialize_unfilled();
            let room = space.len();
            match ready.get_inner().read(space) {
                Ok(bytes) => {
                    // A short read has emptied the socket: what comes later is told.
                    if bytes > 0 && bytes < room {
                        ready.clear_ready();
                    }
                    buffer.advance(bytes);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for QuietStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |mut stream| stream.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |mut stream| stream.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.get_ref().shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, split};

    fn pair() -> (QuietStream, tokio::net::UnixStream) {
        let (near, far) = tokio::net::UnixStream::pair().unwrap();
        (QuietStream::new(near).unwrap(), far)
    }

    #[tokio::test]
    async fn a_full_socket_is_waited_for_and_nothing_gets_lost() {
        let (mut near, far) = pair();
        let sent: Vec<u8> = (0..8 << 20).map(|at: u32| (at ^ (at >> 8)) as u8).collect();
        // Without a reader a write ends up waiting, and is cancelled there.
        let mut written = 0;
        loop {
            tokio::select! {
                biased;
                bytes = near.write(&sent[written..]) => written += bytes.unwrap(),
                () = tokio::task::yield_now() => break,
            }
        }
        assert!(near.room.is_some() && written > 0 && written < sent.len());
        let (mut far_read, mut far_write) = split(far);
        let (mut near_read, mut near_write) = split(near);
        let write = async {
            near_write.write_all(&sent[written..]).await.unwrap();
            near_write.shutdown().await.unwrap();
        };
        let (mut received, mut returned) = (Vec::new(), Vec::new());
        let back = async {
            for chunk in sent.chunks(100_003) {
                far_write.write_all(chunk).await.unwrap();
            }
            far_write.shutdown().await.unwrap();
        };
        let read = async { far_read.read_to_end(&mut received).await.unwrap() };
        let read_back = async { near_read.read_to_end(&mut returned).await.unwrap() };
        tokio::join!(write, read, back, read_back);
        assert!(received == sent && returned == sent, "both ways at once, to the half-close of each");
        assert!(near_read.unsplit(near_write).room.is_none(), "who waits no more asks no more");
    }

    #[tokio::test]
    async fn the_end_of_the_peer_is_seen_by_readers_and_writers() {
        let (mut near, far) = pair();
        let mut byte = [0];
        tokio::select! {
            biased;
            _ = near.read(&mut byte) => panic!("there is nothing to read"),
            () = tokio::task::yield_now() => drop(far),
        }
        assert_eq!(near.read(&mut byte).await.unwrap(), 0);
        assert_eq!(near.write(&byte).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_writer_that_waits_learns_of_the_end() {
        let (mut near, far) = pair();
        let (write, ()) = tokio::join!(async { near.write_all(&vec![0; 8 << 20]).await }, async { drop(far) });
        assert_eq!(write.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
