//! NATS core: PUB, SUB, MSG over TCP on the loopback, for it knows no Unix sockets.

use super::socket::{Piece, Pipeline, Socket};
use crate::{
    fan::{Subscriber, drive},
    peer::{Kind, Outcome, Peer},
    server::Server,
};
use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
    str,
    time::Duration,
};

const HELLO: &str = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";

pub struct Nats {
    _server: Server,
    port: u16,
    payload: usize,
    subjects: u32,
}

impl Nats {
    pub fn start(payload: usize) -> Outcome<Nats> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = Server::start(|directory| {
            // Subscribers may fall behind as far as they like, as they may at the others; and nobody is asked whether it lives.
            let limits = "max_pending: 4294967296\nwrite_deadline: \"60s\"\nping_interval: \"1h\"\n";
            let file = directory.join("nats.conf");
            fs::write(&file, format!("host: \"127.0.0.1\"\nport: {port}\n{limits}"))?;
            let mut command = Command::new("nats-server");
            command.arg("-c").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
            Ok(command)
        })?;
        server.wait_until(|| connect(port, "").ok())?;
        Ok(Nats { _server: server, port, payload, subjects: 0 })
    }

    fn subscribe(&self, subject: &str) -> Outcome<Box<dyn Subscriber>> {
        Ok(Box::new(connect(self.port, &format!("SUB {subject} 1\r\n"))?))
    }
}

/// Connected, and this is said and heard.
fn connect(port: u16, said: &str) -> Outcome<Socket> {
    let mut socket = Socket::tcp(port, cut)?;
    socket.write(format!("{HELLO}{said}PING\r\n").as_bytes())?;
    socket.read(1)?;
    Ok(socket)
}

impl Peer for Nats {
    fn kind(&self) -> Kind {
        Kind::Nats
    }

    fn fan_out(&mut self, subscribers: usize, messages: u64) -> Outcome<Duration> {
        self.subjects += 1;
        let subject = format!("bench.{}", self.subjects);
        let payload = "x".repeat(self.payload);
        let publish = format!("PUB {subject} {}\r\n{payload}\r\n", self.payload).into_bytes();
        let subscribers = (0..subscribers).map(|_| self.subscribe(&subject)).collect::<Outcome<_>>()?;
        let publisher = Pipeline { socket: connect(self.port, "")?, publish, behind: b"PING\r\n", replies_to_each: false };
        drive(messages, Box::new(publisher), subscribers)
    }
}

/// `MSG subject 1 5\r\nhello\r\n`, `PONG\r\n`; `INFO {...}\r\n` comes unasked.
fn cut(bytes: &[u8]) -> Outcome<Option<Piece<'_>>> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let (line, rest) = (str::from_utf8(&bytes[..end])?, &bytes[end + 2..]);
    if line.starts_with("MSG ") {
        let size: usize = line.rsplit(' ').next().unwrap_or_default().parse()?;
        return Ok(rest.get(size + 2..).map(|rest| Piece { counts: true, rest }));
    }
    match line {
        "PONG" => Ok(Some(Piece { counts: true, rest })),
        _ if line.starts_with("INFO ") => Ok(Some(Piece { counts: false, rest })),
        _ => Err(format!("nats says {line:?}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_pongs_count_and_are_cut_where_they_end() {
        let said = [
            ("MSG bench.1 1 5\r\nhe\r\no\r\n", true),
            ("MSG a 1 reply 0\r\n\r\n", true),
            ("PONG\r\n", true),
            ("INFO {}\r\n", false),
        ];
        for (said, counts) in said {
            assert_eq!(cut(format!("{said}rest").as_bytes()).unwrap().unwrap(), Piece { counts, rest: b"rest" });
            for end in 0..said.len() {
                assert_eq!(cut(&said.as_bytes()[..end]).unwrap(), None, "{end} bytes of {said:?}");
            }
        }
    }

    #[test]
    fn what_nobody_expects_is_an_error() {
        for said in ["-ERR 'Slow Consumer'\r\n", "MSG a 1 many\r\n"] {
            assert!(cut(said.as_bytes()).is_err(), "{said:?}");
        }
    }
}
