//! A bare connection to a peer whose protocol is text: what comes is cut where it lies, and nothing is made of it. No client library
//! reads more cheaply.

use crate::{
    fan::{PATIENCE, Publisher, Subscriber},
    measure::BATCH,
    peer::Outcome,
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
};

/// What one read takes at most.
const BUFFER_BYTES: usize = 1 << 16;

/// Cuts off the first thing that a peer says; `None`: it is not all there.
pub type Cut = fn(&[u8]) -> Outcome<Option<Piece<'_>>>;

/// What was cut off.
#[derive(Debug, PartialEq)]
pub struct Piece<'a> {
    /// A reply or a message, and not a remark that nobody asked for.
    pub counts: bool,
    /// What is behind it.
    pub rest: &'a [u8],
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

pub struct Socket {
    stream: Box<dyn Stream>,
    cut: Cut,
    buffer: Vec<u8>,
    /// How much of the buffer is to be read still.
    filled: usize,
}

impl Socket {
    pub fn unix(path: &Path, cut: Cut) -> Outcome<Socket> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Socket::new(stream, cut))
    }

    pub fn tcp(port: u16, cut: Cut) -> Outcome<Socket> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Socket::new(stream, cut))
    }

    fn new(stream: impl Stream + 'static, cut: Cut) -> Socket {
        Socket { stream: Box::new(stream), cut, buffer: vec![0; BUFFER_BYTES], filled: 0 }
    }

    pub fn write(&mut self, bytes: &[u8]) -> Outcome {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Reads so many replies or messages.
    pub fn read(&mut self, mut count: usize) -> Outcome {
        while count > 0 {
            let came = self.stream.read(&mut self.buffer[self.filled..])?;
            if came == 0 {
                return Err("the peer closed the connection".into());
            }
            self.filled += came;
            let mut rest = &self.buffer[..self.filled];
            while let Some(piece) = (self.cut)(rest)? {
                rest = piece.rest;
                count = count.checked_sub(piece.counts.into()).ok_or("the peer says more than it was asked")?;
            }
            let left = rest.len();
            self.buffer.copy_within(self.filled - left..self.filled, 0);
            self.filled = left;
        }
        Ok(())
    }
}

impl Subscriber for Socket {
    fn follow(&mut self, messages: usize) -> Outcome {
        self.read(messages)
    }
}

/// Publishes a batch, and reads what is replied to it before the next one.
pub struct Pipeline {
    pub socket: Socket,
    /// One message.
    pub publish: Vec<u8>,
    /// Behind each batch.
    pub behind: &'static [u8],
    /// Whether every message is replied to, or only what is behind a batch.
    pub replies_to_each: bool,
}

impl Publisher for Pipeline {
    fn publish(&mut self, messages: usize) -> Outcome {
        let batch = self.publish.repeat(BATCH);
        for from in (0..messages).step_by(BATCH) {
            let count = BATCH.min(messages - from);
            self.socket.write(&[&batch[..count * self.publish.len()], self.behind].concat())?;
            self.socket.read(if self.replies_to_each { count } else { 1 })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A word with a full stop; a question mark is a remark.
    fn word(bytes: &[u8]) -> Outcome<Option<Piece<'_>>> {
        let end = bytes.iter().position(|byte| b".?!".contains(byte));
        match end.map(|end| (bytes[end], &bytes[end + 1..])) {
            Some((b'!', _)) => Err("refused".into()),
            Some((end, rest)) => Ok(Some(Piece { counts: end == b'.', rest })),
            None => Ok(None),
        }
    }

    fn scripted(said: &[&str]) -> Socket {
        let (near, mut far) = UnixStream::pair().unwrap();
        said.iter().for_each(|part| far.write_all(part.as_bytes()).unwrap());
        Socket::new(near, word)
    }

    #[test]
    fn what_comes_in_pieces_is_put_together_and_remarks_do_not_count() {
        let mut socket = scripted(&["one.tw", "o.well?thr", "ee."]);
        socket.read(3).unwrap();
        assert!(socket.read(1).is_err(), "the peer has closed");
    }

    #[test]
    fn a_refusal_and_a_reply_too_many_are_errors() {
        assert!(scripted(&["one.no!"]).read(2).unwrap_err().to_string().contains("refused"));
        assert!(scripted(&["one.two."]).read(1).is_err());
    }
}
