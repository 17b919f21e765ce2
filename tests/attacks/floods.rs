//! R13: floods of HTTP/2 frames, written by hand. The broker ends them or takes them as they come, rests afterwards, and others
//! notice nothing.

use super::{
    measure::{Paced, mib, ms, peak_memory, percentile, until_idle},
    wire::{Credential, Greeting, hello},
};
use crate::harness::{Broker, PATIENCE, eventually, figure};
use bursar_proto::v1;
use prost::Message;
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// Frames that a flood has at most, and the time it takes at most.
const FRAMES_MAX: u64 = 60_000;
const TIME_MAX: Duration = Duration::from_secs(3);
/// Floods are repeated for about this long.
const FLOOD_FOR: Duration = Duration::from_millis(800);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = &(payload.len() as u32).to_be_bytes()[1..];
    [length, &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers as literals without indexing and without Huffman codes: the simplest form that HPACK has.
fn header_block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_bytes(), value] {
            assert!(text.len() < 127, "one byte of length");
            block.push(text.len() as u8);
            block.extend_from_slice(text);
        }
    }
    block
}

/// What a connection does that was not written to it.
#[derive(Default)]
struct Heard {
    is_closed: AtomicBool,
    is_going_away: AtomicBool,
    resets: AtomicU64,
}

/// One connection, frame by frame.
struct Frames {
    socket: TcpStream,
    heard: Arc<Heard>,
    data: mpsc::Receiver<(u32, Vec<u8>)>,
    credential: Option<Vec<u8>>,
    next_stream: u32,
}

impl Frames {
    fn connect(broker: &Broker) -> Frames {
        let mut socket = TcpStream::connect(&broker.tcp()["tcp://".len()..]).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_write_timeout(Some(TIME_MAX)).unwrap();
        socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        socket.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
        socket.write_all(&frame(SETTINGS, ACK, 0, &[])).unwrap();
        let heard = Arc::new(Heard::default());
        let (sender, data) = mpsc::channel();
        let (reading, noted) = (socket.try_clone().unwrap(), heard.clone());
        std::thread::spawn(move || {
            let _ = listen(reading, &noted, &sender);
            noted.is_closed.store(true, Ordering::Relaxed);
        });
        Frames { socket, heard, data, credential: None, next_stream: 1 }
    }

    fn proven(broker: &Broker) -> Frames {
        let mut frames = Frames::connect(broker);
        let key = broker.authkey();
        let hello = hello(key.id());
        let reply = frames.unary("/bursar.v1.Auth/Hello", &hello.encode_to_vec());
        let greeting = Greeting { hello, reply: v1::HelloReply::decode(&reply[..]).unwrap() };
        frames.unary("/bursar.v1.Auth/Prove", &greeting.prove(&key).encode_to_vec());
        let credential = Credential::from_bytes(&greeting.credential(&key));
        frames.credential = Some(credential.as_encoded_bytes().to_vec());
        frames
    }

    fn stream(&mut self) -> u32 {
        self.next_stream += 2;
        self.next_stream - 2
    }

    fn headers(&self, path: &str) -> Vec<u8> {
        let mut fields: Vec<(&str, &[u8])> = vec![
            (":method", b"POST"),
            (":scheme", b"http"),
            (":path", path.as_bytes()),
            (":authority", b"bursar"),
            ("content-type", b"application/grpc"),
            ("te", b"trailers"),
        ];
        fields.extend(self.credential.as_ref().map(|credential| ("bursar-session-bin", &credential[..])));
        header_block(&fields)
    }

    /// The start of a call on a new stream.
    fn begin(&mut self, path: &str) -> (u32, Vec<u8>) {
        let stream = self.stream();
        (stream, frame(HEADERS, END_HEADERS, stream, &self.headers(path)))
    }

    fn unary(&mut self, path: &str, message: &[u8]) -> Vec<u8> {
        let (stream, headers) = self.begin(path);
        let framed = [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat();
        self.socket.write_all(&[headers, frame(DATA, END_STREAM, stream, &framed)].concat()).unwrap();
        loop {
            let (from, data) = self.data.recv_timeout(PATIENCE).unwrap();
            if from == stream && data.len() >= 5 {
                return data[5..].to_vec();
            }
        }
    }

    /// Writes frames until the broker has had enough, or there were as many as a flood has; says how many were written.
    fn flood(&mut self, mut make: impl FnMut(&mut Frames) -> Vec<u8>) -> u64 {
        let start = Instant::now();
        let mut sent = 0;
        while sent < FRAMES_MAX && start.elapsed() < TIME_MAX && !self.is_over() {
            let mut bytes = Vec::new();
            for _ in 0..20 {
                bytes.extend(make(self));
                sent += 1;
            }
            if self.socket.write_all(&bytes).is_err() {
                break;
            }
        }
        sent
    }

    fn is_over(&self) -> bool {
        self.heard.is_closed.load(Ordering::Relaxed) || self.heard.is_going_away.load(Ordering::Relaxed)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

fn listen(mut socket: TcpStream, heard: &Heard, data: &mpsc::Sender<(u32, Vec<u8>)>) -> io::Result<()> {
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head)?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        socket.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match head[3] {
            DATA => drop(data.send((stream, payload))),
            GOAWAY => heard.is_going_away.store(true, Ordering::Relaxed),
            RST_STREAM => drop(heard.resets.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}

/// Repeats a flood, each on a connection of its own, while a paced client works, and tells what became of it.
fn attack(name: &str, is_proven: bool, must_end: bool, flood: impl Fn(&mut Frames) -> u64) {
    let broker = Broker::start();
    let paced = Paced::start(&broker);
    let calm = paced.sample(200);
    let base = peak_memory(broker.pid());
    let (mut sent, mut resets, mut how) = (Vec::new(), 0, "absorbed");
    let start = Instant::now();
    while start.elapsed() < FLOOD_FOR {
        let mut frames = if is_proven { Frames::proven(&broker) } else { Frames::connect(&broker) };
        sent.push(flood(&mut frames));
        if must_end {
            eventually("the broker ends the flood", || frames.is_over());
        }
        resets += frames.heard.resets.load(Ordering::Relaxed);
        if frames.is_over() {
            how = if frames.heard.is_going_away.load(Ordering::Relaxed) { "GOAWAY" } else { "closed" };
        }
    }
    let during = paced.take();
    paced.sample(50);
    paced.finish();
    let rest = until_idle(broker.pid());
    let peak = peak_memory(broker.pid());
    assert!(peak < base + (64 << 20), "{name}: memory grew from {} to {}", mib(base), mib(peak));
    sent.sort_unstable();
    let (floods, median) = (sent.len(), sent[sent.len() / 2]);
    figure("R13", format!("{name}: {how} after {median} frames (median of {floods} floods, {resets} resets by the broker)"));
    figure(
        "R13",
        format!(
            "{name}: idle within {}, peak RSS {}; paced p99 {} calm, {} during",
            ms(rest),
            mib(peak),
            ms(percentile(&calm, 99)),
            ms(percentile(&during, 99))
        ),
    );
}

const GET: &str = "/bursar.v1.queue.Queue/Get";

#[test]
fn r13_rapid_reset() {
    attack("rapid reset", true, true, |frames| {
        frames.flood(|frames| {
            let (stream, headers) = frames.begin(GET);
            [headers, frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
        })
    });
}

#[test]
fn r13_rapid_reset_by_a_stranger() {
    attack("rapid reset by a stranger", false, true, |frames| {
        frames.flood(|frames| {
            let (stream, headers) = frames.begin("/bursar.v1.Auth/Hello");
            [headers, frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
        })
    });
}

/// The peer makes the broker reset the streams, so that they do not count as the peer's: a window beyond its maximum is an error of
/// the stream alone.
#[test]
fn r13_made_you_reset() {
    attack("MadeYouReset", true, true, |frames| {
        frames.flood(|frames| {
            let (stream, headers) = frames.begin(GET);
            [headers, frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes())].concat()
        })
    });
}

#[test]
fn r13_continuation_flood() {
    attack("CONTINUATION flood", false, true, |frames| {
        let stream = frames.stream();
        let block = frames.headers("/bursar.v1.Auth/Hello");
        frames.socket.write_all(&frame(HEADERS, 0, stream, &block)).unwrap();
        let more = header_block(&[("x-more", &[b'x'; 100])]).repeat(20);
        frames.flood(|_| frame(CONTINUATION, 0, stream, &more))
    });
}

#[test]
fn r13_empty_continuation_flood() {
    attack("empty CONTINUATION flood", false, true, |frames| {
        let stream = frames.stream();
        let block = frames.headers("/bursar.v1.Auth/Hello");
        frames.socket.write_all(&frame(HEADERS, 0, stream, &block)).unwrap();
        frames.flood(|_| frame(CONTINUATION, 0, stream, &[]))
    });
}

#[test]
fn r13_ping_flood() {
    attack("PING flood", true, false, |frames| frames.flood(|_| frame(PING, 0, 0, &[7; 8])));
}

#[test]
fn r13_settings_flood() {
    attack("SETTINGS flood", true, false, |frames| frames.flood(|_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])));
}

#[test]
fn r13_empty_data_flood() {
    attack("empty DATA flood", true, false, |frames| {
        let (stream, headers) = frames.begin(GET);
        frames.socket.write_all(&headers).unwrap();
        frames.flood(|_| frame(DATA, 0, stream, &[]))
    });
}

/// Streams are opened until no more are allowed, and each is fed nothing.
#[test]
fn r13_streams_beyond_their_number() {
    attack("streams that never end", true, false, |frames| frames.flood(|frames| frames.begin(GET).1));
}
