//! The side socket: a Unix socket beside a session's connection, on which nothing travels but descriptors, each with a number.
//!
//! ```text
//!   client                                     broker
//!     ── magic, session, token + descriptor ──►        is it that session, do descriptors arrive?
//!     ◄──────────────── 0 + descriptor ────────        yes
//!     ── number + descriptor ─────────────────►  ◄──── number + descriptor ──
//! ```
//!
//! Whoever names memory in a frame has handed it over before: the kernel keeps it until the other side reads. So nobody waits here,
//! and nothing is ever sent that the socket does not take at once.

use crate::{SHARED_BYTES_MIN, Scattered, Sealed, kept::Kept};
use bytes::Bytes;
use parking_lot::Mutex;
use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg,
        sendmsg,
    },
};
use std::{
    collections::BTreeMap,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Descriptors that were read and that no frame has named yet; beyond that the oldest go. Frames name them in another order than they
/// were handed over where threads share a session: by a few. What no frame ever names belongs to calls that were given up.
const UNCLAIMED_MAX: usize = 128;
/// Pieces of one message that lie in memory; one with more travels whole. A fourth of what a socket takes without being read.
const SHARED_PIECES_MAX: usize = 64;
/// Pieces of one message: those, and one between each two.
const PIECES_MAX: usize = 2 * SHARED_PIECES_MAX + 1;
/// Messages that are read for one that is looked for. A socket of the default size holds some 280, and who writes on while it is read gains nothing by it.
const READ_MAX: usize = 1024;

/// How a side socket begins. The other protocol on the same socket is HTTP/2, which begins with `PRI`.
const MAGIC: &[u8; 16] = b"bursar-memory-1\n";
/// Length of the first message.
pub const HELLO_BYTES: usize = 16 + 8 + 8 + 16;

/// Whose line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The number of the session.
    pub session: u64,
    /// The epoch of the stream that carries it: the side socket belongs to that stream.
    pub epoch: u64,
    /// What only that session's client knows.
    pub token: [u8; 16],
}

impl Hello {
    /// The first message of a side socket.
    pub fn parse(message: &[u8; HELLO_BYTES]) -> Option<Hello> {
        let (magic, rest) = message.split_at(MAGIC.len());
        let ((session, rest), number) = (rest.split_at(8), |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
        let (epoch, token) = rest.split_at(8);
        let hello = Hello { session: number(session)?, epoch: number(epoch)?, token: token.try_into().ok()? };
        (magic == MAGIC).then_some(hello)
    }

    fn message(&self) -> [u8; HELLO_BYTES] {
        let mut message = [0; HELLO_BYTES];
        message[..16].copy_from_slice(MAGIC);
        message[16..24].copy_from_slice(&self.session.to_be_bytes());
        message[24..32].copy_from_slice(&self.epoch.to_be_bytes());
        message[32..].copy_from_slice(&self.token);
        message
    }

    /// Whether a side socket begins with these bytes, or may do so.
    pub fn begins_with(first: &[u8]) -> bool {
        MAGIC.starts_with(&first[..first.len().min(MAGIC.len())])
    }
}

/// A piece of a message: its bytes, or the number of the memory that they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes.
    Data(Bytes),
    /// All of this memory.
    Memory(u64),
}

/// Where memory comes from that is to be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Bytes that lie elsewhere are copied into new memory.
    Any,
    /// Only bytes that are sealed memory already.
    Sealed,
}

/// An end of a side socket: hands memory over, and takes what was handed over.
#[derive(Debug)]
pub struct SideSocket {
    socket: Kept,
    next: AtomicU64,
    /// Short sections; reads the socket.
    arrived: Mutex<BTreeMap<u64, Kept>>,
}

impl SideSocket {
    /// Both sides have greeted each other on this socket. An error: there is no room for more descriptors that are used for memory.
    pub fn new(socket: impl Into<OwnedFd>) -> io::Result<SideSocket> {
        Ok(SideSocket { socket: Kept::new(socket.into())?, next: AtomicU64::new(1), arrived: Mutex::default() })
    }

    /// Hands over the large pieces of a message; gives the pieces for the frame, and the message as it lies now. `None`: nothing of it
    /// is in memory, or too much beside that, or the side socket is not to be used now: it travels whole.
    pub fn share(&self, message: &Scattered, source: Source) -> Option<(Vec<Piece>, Scattered)> {
        let is_large = |piece: &Bytes| piece.len() >= SHARED_BYTES_MIN;
        let large = message.pieces().filter(|piece| is_large(piece)).count();
        let beside: usize = message.pieces().filter(|piece| !is_large(piece)).map(Bytes::len).sum();
        if !(1..=SHARED_PIECES_MAX).contains(&large) || message.pieces().count() > PIECES_MAX || beside > SHARED_BYTES_MIN / 2 {
            return None;
        }
        let mut shared = 0;
        let (mut pieces, mut lies) = (Vec::new(), Vec::new());
        for piece in message.pieces() {
            let memory = if is_large(piece) { source.memory(piece) } else { None };
            let (named, bytes) = match memory.and_then(|memory| Some((self.hand_over(&memory).ok()?, memory))) {
                Some((number, memory)) => (Piece::Memory(number), memory.bytes()),
                None => (Piece::Data(piece.clone()), piece.clone()),
            };
            shared += usize::from(matches!(named, Piece::Memory(_)));
            pieces.push(named);
            lies.push(bytes);
        }
        (shared > 0).then(|| (pieces, Scattered::of(lies)))
    }

    /// The message that these pieces are. An error: memory that was not handed over, or is not sealed; more than `bytes_max` in memory; more
    /// pieces than any message has.
    pub fn gather(&self, pieces: Vec<Piece>, mut bytes_max: u64) -> io::Result<Scattered> {
        if pieces.len() > PIECES_MAX {
            return Err(io::Error::other(format!("{} pieces, expected at most {PIECES_MAX}", pieces.len())));
        }
        let gathered = pieces.into_iter().map(|piece| match piece {
            Piece::Data(data) => Ok(data),
            Piece::Memory(number) => {
                let bytes = Sealed::open(self.claim(number)?, bytes_max)?.bytes();
                bytes_max -= bytes.len() as u64;
                Ok(bytes)
            }
        });
        Ok(Scattered::of(gathered.collect::<io::Result<Vec<_>>>()?))
    }

    fn hand_over(&self, memory: &Sealed) -> io::Result<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        send(&self.socket, &number.to_be_bytes(), memory)?;
        Ok(number)
    }

    fn claim(&self, number: u64) -> io::Result<OwnedFd> {
        let mut arrived = self.arrived.lock();
        if let Some(descriptor) = arrived.remove(&number) {
            return Ok(descriptor.into_descriptor());
        }
        for _ in 0..READ_MAX {
            match receive::<8>(&self.socket)? {
                Some((came, Some(descriptor))) if came == number.to_be_bytes() => return Ok(descriptor),
                Some((came, Some(descriptor))) => drop(arrived.insert(u64::from_be_bytes(came), Kept::new(descriptor)?)),
                Some((_, None)) => {}
                None => break,
            }
            if arrived.len() > UNCLAIMED_MAX {
                arrived.pop_first();
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, format!("memory {number} was not handed over")))
    }
}

impl Source {
    fn memory(self, bytes: &Bytes) -> Option<Arc<Sealed>> {
        Sealed::of(bytes).or_else(|| if self == Source::Any { Sealed::new(bytes).ok() } else { None })
    }
}

/// Says whose line it is, with any memory: so the other side sees whether descriptors arrive.
pub fn greet(socket: impl AsFd, hello: &Hello, memory: &Sealed) -> io::Result<()> {
    send(socket, &hello.message(), memory)
}

/// Answers a [`Hello`]: descriptors arrive, and here is one.
pub fn welcome(socket: impl AsFd, memory: &Sealed) -> io::Result<()> {
    send(socket, &0u64.to_be_bytes(), memory)
}

fn send(socket: impl AsFd, message: &[u8], memory: &Sealed) -> io::Result<()> {
    let descriptors = [memory.descriptor().ok_or(io::ErrorKind::Unsupported)?];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(socket, &[IoSlice::new(message)], &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// The next message, of exactly this length, and the descriptor that came with it, if one did; `None`: nothing is there now. Does not
/// wait. An error: nothing will come any more.
pub fn receive<const N: usize>(socket: impl AsFd) -> io::Result<Option<([u8; N], Option<OwnedFd>)>> {
    let mut message = [0; N];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = match recvmsg(socket, &mut [IoSliceMut::new(&mut message)], &mut control, flags) {
        Ok(received) => received.bytes,
        Err(Errno::AGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    match received {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        received if received == N => Ok(Some((message, descriptor))),
        received => Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {received} bytes, expected {N}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::unix::net::UnixStream};

    const HELLO: Hello = Hello { session: 77, epoch: 3, token: [9; 16] };

    #[test]
    fn memory_crosses_a_socket_with_its_number_and_in_order() {
        let (here, there) = UnixStream::pair().unwrap();
        let sealed = Sealed::new(b"large").unwrap();
        greet(&here, &HELLO, &sealed).unwrap();
        send(&here, &3u64.to_be_bytes(), &sealed).unwrap();
        send(&here, &4u64.to_be_bytes(), &sealed).unwrap();
        let (hello, descriptor) = receive::<HELLO_BYTES>(&there).unwrap().unwrap();
        assert_eq!(Hello::parse(&hello), Some(HELLO));
        assert!(descriptor.is_some() && Hello::begins_with(&hello) && Hello::begins_with(b"bur") && !Hello::begins_with(b"PRI"));
        for number in [3, 4] {
            let (message, descriptor) = receive::<8>(&there).unwrap().unwrap();
            assert_eq!(u64::from_be_bytes(message), number);
            assert_eq!(&Sealed::open(descriptor.unwrap(), 100).unwrap().bytes()[..], b"large");
        }
        assert!(receive::<8>(&there).unwrap().is_none(), "nothing is there now, and nobody waits");
        drop(here);
        assert_eq!(receive::<8>(&there).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_number_without_a_descriptor_is_seen_and_half_a_message_is_an_error() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&3u64.to_be_bytes()).unwrap();
        assert!(matches!(receive::<8>(&there), Ok(Some((_, None)))));
        here.write_all(&[1, 2, 3]).unwrap();
        assert_eq!(receive::<8>(&there).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn who_does_not_read_makes_nobody_wait() {
        let (here, _there) = UnixStream::pair().unwrap();
        let sealed = Sealed::new(b"x").unwrap();
        let refused = (0..100_000).find_map(|_| welcome(&here, &sealed).err());
        assert!(refused.is_some(), "the socket takes no more at some time");
    }

    fn sides() -> (SideSocket, SideSocket) {
        let (here, there) = UnixStream::pair().unwrap();
        (SideSocket::new(here).unwrap(), SideSocket::new(there).unwrap())
    }

    fn large(byte: u8) -> Bytes {
        vec![byte; SHARED_BYTES_MIN].into()
    }

    #[test]
    fn a_message_arrives_with_its_large_pieces_in_memory_and_goes_on_without_a_copy() {
        let ((here, there), (there_too, at_last)) = (sides(), sides());
        let message = Scattered::of([Bytes::from_static(b"a"), large(1), Bytes::from_static(b"b"), large(2)]);
        let (pieces, lies) = here.share(&message, Source::Any).unwrap();
        assert!(matches!(pieces[..], [Piece::Data(_), Piece::Memory(1), Piece::Data(_), Piece::Memory(2)]));
        assert_eq!(lies.clone().flat(), message.clone().flat());
        let arrived = there.gather(pieces, 2 * SHARED_BYTES_MIN as u64).unwrap();
        assert_eq!(arrived.clone().flat(), message.clone().flat());

        let (pieces, lies) = there_too.share(&arrived, Source::Sealed).unwrap();
        assert!(lies.pieces().zip(arrived.pieces()).all(|(one, other)| one.as_ptr() == other.as_ptr()), "it lies where it lay");
        let arrived = at_last.gather(pieces, 2 * SHARED_BYTES_MIN as u64).unwrap();
        assert_eq!(arrived.flat(), message.flat());
    }

    #[test]
    fn frames_may_name_memory_in_any_order_and_only_once() {
        let (here, there) = sides();
        let share = |byte| here.share(&large(byte).into(), Source::Any).unwrap().0;
        let (one, two) = (share(1), share(2));
        assert_eq!(there.gather(two, u64::MAX).unwrap().flat(), large(2));
        assert_eq!(there.gather(one.clone(), u64::MAX).unwrap().flat(), large(1));
        assert_eq!(there.gather(one, u64::MAX).unwrap_err().to_string(), "memory 1 was not handed over");
    }

    #[test]
    fn what_lies_elsewhere_or_cannot_be_handed_over_travels_whole() {
        let (here, there) = sides();
        assert!(here.share(&large(1).into(), Source::Sealed).is_none());
        assert!(here.share(&Bytes::from_static(b"small").into(), Source::Any).is_none());
        drop(there);
        assert!(here.share(&large(1).into(), Source::Any).is_none());
    }

    #[test]
    fn who_writes_on_while_one_is_looked_for_does_not_keep_the_reader() {
        let (here, there) = UnixStream::pair().unwrap();
        let there = SideSocket::new(there).unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let _ = (&here).write(&[0; 8]);
                    }
                });
            }
            assert!(there.claim(7).is_err());
            is_over.store(true, Ordering::Relaxed);
            // Whoever waits for room.
            while receive::<8>(&there.socket).is_ok_and(|message| message.is_some()) {}
        });
    }

    #[test]
    fn a_message_of_more_pieces_than_any_has_is_refused() {
        let (here, there) = sides();
        let pieces = vec![Piece::Data(Bytes::from_static(b"x")); PIECES_MAX + 1];
        assert!(there.gather(pieces, u64::MAX).is_err());
        let many = Scattered::of((0..=SHARED_PIECES_MAX).map(|_| large(1)));
        assert!(here.share(&many, Source::Any).is_none(), "it travels whole");
    }

    #[test]
    fn what_no_frame_names_goes_in_its_time() {
        let (here, there) = sides();
        let sealed = Sealed::new(b"x").unwrap();
        let first = here.hand_over(&sealed).unwrap();
        let mut last = first;
        for _ in 0..2 * UNCLAIMED_MAX {
            last = here.hand_over(&sealed).unwrap_or_else(|_| {
                assert!(there.claim(u64::MAX).is_err(), "the socket is read empty");
                here.hand_over(&sealed).unwrap()
            });
        }
        there.claim(last).unwrap();
        assert_eq!(there.arrived.lock().len(), UNCLAIMED_MAX);
        assert!(there.claim(first).is_err());
        there.claim(last - 1).unwrap();
    }
}
