//! What is spoken on an accepted Unix socket: HTTP/2, or a session's side socket. The first byte tells.

use super::{listen::Stream, quiet::QuietStream};
use crate::sessions::Table;
use bursar_memory::{HELLO_BYTES, Hello, Sealed, SideSocket};
use rustix::net::{RecvFlags, recv};
use std::io;
use tokio::{io::Interest, net::UnixStream};

/// What a client shows as proof that descriptors arrive is not more than this.
const PROOF_BYTES_MAX: u64 = 4096;

/// What it turned out to be.
pub enum Spoken {
    /// HTTP/2.
    Http(Stream),
    /// A side socket: its session has it.
    SideSocket,
}

impl Spoken {
    /// Waits for the first byte. An error: it is neither.
    pub async fn on(stream: UnixStream, table: &Table) -> io::Result<Spoken> {
        loop {
            stream.readable().await?;
            let mut first = [0];
            match stream.try_io(Interest::READABLE, || Ok(recv(&stream, &mut first, RecvFlags::PEEK | RecvFlags::DONTWAIT)?)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) if Hello::begins_with(&first) => return side_socket(stream, table).map(|()| Spoken::SideSocket),
                Ok(_) => return Ok(Spoken::Http(Box::new(QuietStream::new(stream)?))),
            }
        }
    }
}

/// A client says all of its greeting at once. It is greeted back once its session has the side socket: then it may use it.
fn side_socket(stream: UnixStream, table: &Table) -> io::Result<()> {
    let refused = |problem: &str| io::Error::new(io::ErrorKind::InvalidData, problem);
    let (greeting, descriptor) = bursar_memory::receive::<HELLO_BYTES>(&stream)?.ok_or(io::ErrorKind::WouldBlock)?;
    let hello = Hello::parse(&greeting).ok_or_else(|| refused("no greeting of a side socket"))?;
    let session = table.find(hello.session, &hello.token).ok_or_else(|| refused("a side socket for no session"))?;
    let descriptor = descriptor.ok_or_else(|| refused("a side socket on which descriptors get lost"))?;
    let proof = Sealed::open(descriptor, PROOF_BYTES_MAX)?;
    let stream = stream.into_std()?;
    let side = SideSocket::new(stream.try_clone()?)?;
    if !session.use_side_socket(hello.epoch, side) {
        return Err(refused("a side socket for a stream that there is not any more"));
    }
    bursar_memory::welcome(&stream, &proof)
}
