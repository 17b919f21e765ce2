//! Redis pub/sub: published by a bare socket; read by bare sockets, or by the client library.

use super::socket::{Piece, Pipeline, Socket};
use crate::{
    fan::{PATIENCE, Subscriber, drive},
    peer::{Kind, Outcome, Peer},
    peers::redis,
    server::Server,
};
use std::time::Duration;

pub struct PubSub {
    kind: Kind,
    server: Server,
    payload: usize,
    channels: u32,
}

impl PubSub {
    pub fn start(kind: Kind, payload: usize) -> Outcome<PubSub> {
        Ok(PubSub { kind, server: redis::start_server()?, payload, channels: 0 })
    }

    fn connect(&self) -> Outcome<Socket> {
        Socket::unix(&self.server.path("socket"), cut)
    }

    fn subscribe(&self, channel: &str) -> Outcome<Box<dyn Subscriber>> {
        if self.kind == Kind::RedisPubSubClient {
            let mut connection = ::redis::Client::open(redis::url(&self.server))?.get_connection()?;
            connection.set_read_timeout(Some(PATIENCE))?;
            ::redis::cmd("SUBSCRIBE").arg(channel).exec(&mut connection)?;
            return Ok(Box::new(Reader(connection)));
        }
        let mut socket = self.connect()?;
        socket.write(&request(&[b"SUBSCRIBE", channel.as_bytes()]))?;
        socket.read(1)?;
        Ok(Box::new(socket))
    }
}

impl Peer for PubSub {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn fan_out(&mut self, subscribers: usize, messages: u64) -> Outcome<Duration> {
        self.channels += 1;
        let channel = format!("bench-{}", self.channels);
        let publish = request(&[b"PUBLISH", channel.as_bytes(), &vec![b'x'; self.payload]]);
        let subscribers = (0..subscribers).map(|_| self.subscribe(&channel)).collect::<Outcome<_>>()?;
        let publisher = Pipeline { socket: self.connect()?, publish, behind: b"", replies_to_each: true };
        drive(messages, Box::new(publisher), subscribers)
    }
}

/// What the library's own `PubSub` does, which cannot be kept beside its connection.
struct Reader(::redis::Connection);

impl Subscriber for Reader {
    fn follow(&mut self, messages: usize) -> Outcome {
        let mut bytes = 0;
        for _ in 0..messages {
            let message = ::redis::Msg::from_owned_value(self.0.recv_response()?).ok_or("what came is no message")?;
            bytes += message.get_payload_bytes().len();
        }
        if bytes > 0 { Ok(()) } else { Err("nothing came".into()) }
    }
}

fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend(format!("${}\r\n", word.len()).into_bytes());
        request.extend_from_slice(word);
        request.extend(b"\r\n");
    }
    request
}

fn cut(bytes: &[u8]) -> Outcome<Option<Piece<'_>>> {
    match bytes.first() {
        Some(b'-') => Err(format!("redis refuses: {}", String::from_utf8_lossy(bytes)).into()),
        _ => Ok(skip(bytes).map(|rest| Piece { counts: true, rest })),
    }
}

/// What is behind the first reply; `None`: it is not all there.
fn skip(bytes: &[u8]) -> Option<&[u8]> {
    let (kind, number, rest) = head(bytes)?;
    match kind {
        b'*' => (0..number).try_fold(rest, |rest, _| skip(rest)),
        b'$' => rest.get(number + 2..),
        _ => Some(rest),
    }
}

/// `*3`, `$100`, `:7`: the letter, the number, and what is behind the line.
fn head(bytes: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (kind, mut rest) = bytes.split_first()?;
    let mut number = 0;
    loop {
        let (digit, behind) = rest.split_first()?;
        rest = behind;
        match digit {
            b'0'..=b'9' => number = number * 10 + usize::from(digit - b'0'),
            b'\r' => return Some((*kind, number, rest.get(1..)?)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_and_messages_are_cut_where_they_end() {
        let message = request(&[b"message", b"bench-1", b"hello"]);
        for said in [&message[..], b":12\r\n", b"+OK\r\n"] {
            assert_eq!(cut(&[said, b"rest"].concat()).unwrap().unwrap(), Piece { counts: true, rest: b"rest" });
            for end in 0..said.len() {
                assert_eq!(cut(&said[..end]).unwrap(), None, "{end} bytes of {said:?}");
            }
        }
        assert!(cut(b"-ERR no\r\n").is_err());
    }
}
