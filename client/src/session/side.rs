//! Opening the side socket, beside a connection that is open. It never fails: where it cannot be, everything travels in frames.

use crate::connect::Target;
use bursar_memory::{Hello, Sealed, SideSocket, greet, receive};
use bursar_proto::Address;
use std::{io, time::Duration};
use tokio::{net::UnixStream, time::timeout};

/// A broker that knows side sockets answers at once; one that does not closes the socket.
const WITHIN: Duration = Duration::from_millis(250);

pub(super) async fn open(target: &Target, hello: &Hello) -> Option<SideSocket> {
    let Target::Address(Address::Unix(path)) = target else { return None };
    let opened = async {
        let stream = UnixStream::connect(path).await?;
        greet(&stream, hello, &*Sealed::new(b"memory")?)?;
        loop {
            stream.readable().await?;
            match stream.try_io(tokio::io::Interest::READABLE, || receive::<8>(&stream)?.ok_or(io::ErrorKind::WouldBlock.into()))
            {
                Ok((_, Some(_))) => return SideSocket::new(stream.into_std()?),
                Ok((_, None)) => return Err(io::ErrorKind::Unsupported.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    let opened: io::Result<SideSocket> = timeout(WITHIN, opened).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    opened.inspect_err(|error| tracing::debug!(%error, "no memory is shared with the broker")).ok()
}
