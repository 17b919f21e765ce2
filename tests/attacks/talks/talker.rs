//! A process that talks until it is killed: this test binary, started again as what [`role`] says. It writes down every word.

use crate::harness::{Broker, PATIENCE, eventually, signal_process};
use bursar::{
    Error, Fault,
    blocking::{End, Manager, Received, Subscriber, Topic, TopicEvent},
};
use rustix::process::Signal;
use std::{
    fmt,
    fs::{self, File},
    io::{BufRead, BufReader},
    iter,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

const WHAT: &str = "BURSAR_ATTACKS_TALKER";
const TTL_MS: &str = "BURSAR_ATTACKS_TALKER_TTL_MS";
/// What talkers call themselves.
pub const LABEL: &str = "talker";
/// How a word begins on its line; the test runner writes there too.
const WORD: &str = "talker: ";
/// How long whoever waits for a word waits before it asks whether all is over.
pub const PAUSE: Duration = Duration::from_millis(20);

/// A message: who sent it, and how many it had sent before.
pub type Said = (u32, u32);

/// What a talker writes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The broker acknowledged it.
    Sent(Said),
    /// It came, and nobody is done with it yet.
    Got { said: Said, position: u64, again: bool },
    /// The position of a message of any kind, or where the subscription began.
    At(u64),
    /// So many were dropped in this place.
    Missed(u64),
    /// The subscription was ended, with so many that it missed.
    Ended(u64),
}

impl Word {
    pub fn got(received: &Received<Said>) -> Word {
        Word::Got { said: **received, position: received.position(), again: received.is_redelivered() }
    }

    fn parse(line: &str) -> Option<Word> {
        let (_, word) = line.split_once(WORD)?;
        let numbers = |text: &str| -> Option<Vec<u64>> { text.split(' ').map(|number| number.parse().ok()).collect() };
        let (verb, rest) = word.split_once(' ')?;
        match (verb, &numbers(rest)?[..]) {
            ("sent", [sender, number]) => Some(Word::Sent((*sender as u32, *number as u32))),
            ("got", [sender, number, position, again]) => {
                Some(Word::Got { said: (*sender as u32, *number as u32), position: *position, again: *again > 0 })
            }
            ("at", [position]) => Some(Word::At(*position)),
            ("missed", [count]) => Some(Word::Missed(*count)),
            ("ended", [count]) => Some(Word::Ended(*count)),
            _ => None,
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Sent((sender, number)) => write!(formatter, "sent {sender} {number}"),
            Word::Got { said: (sender, number), position, again } => {
                write!(formatter, "got {sender} {number} {position} {}", u8::from(*again))
            }
            Word::At(position) => write!(formatter, "at {position}"),
            Word::Missed(count) => write!(formatter, "missed {count}"),
            Word::Ended(count) => write!(formatter, "ended {count}"),
        }
    }
}

/// The other side, seen from the test. Killed when it is dropped.
pub struct Talker {
    child: Child,
    words: mpsc::Receiver<Word>,
    log: PathBuf,
}

impl Talker {
    /// `send CHANNEL END SENDER`, `receive CHANNEL END`, `publish TOPIC SENDER`, `share TOPIC GROUP` or `follow TOPIC`.
    pub fn start(broker: &Broker, address: &str, what: &str, ttl: Duration) -> Talker {
        static TALKERS: AtomicU32 = AtomicU32::new(0);
        let log = broker.directory().join(format!("talker-{}.log", TALKERS.fetch_add(1, Ordering::Relaxed)));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "attacks::talks::talker::role", "--nocapture"])
            .env("BURSAR_ADDRESS", address)
            .env("BURSAR_AUTHKEY_FILE", broker.key_file())
            .env(WHAT, what)
            .env(TTL_MS, ttl.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, words) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            let _ = lines.try_for_each(|line| Word::parse(&line).map_or(Ok(()), |word| sender.send(word)));
        });
        Talker { child, words, log }
    }

    /// Waits for its next word; `None` when it has ended by itself.
    pub fn word(&self) -> Option<Word> {
        self.word_unless(|| false)
    }

    /// As [`Talker::word`]; `None` also when it says nothing and this is so.
    pub fn word_unless(&self, is_over: impl Fn() -> bool) -> Option<Word> {
        let start = Instant::now();
        loop {
            match self.words.recv_timeout(PAUSE) {
                Err(mpsc::RecvTimeoutError::Timeout) if is_over() => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => assert!(start.elapsed() < PATIENCE, "the talker says nothing"),
                word => return word.ok(),
            }
        }
    }

    /// It does nothing any more, and nobody sees an end of it. Returns when that is so.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        eventually("the talker is stopped", || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
            stat.rsplit_once(") ").unwrap().1.starts_with('T')
        });
    }

    pub fn signal(&self, signal: Signal) {
        signal_process(self.child.id(), signal);
    }

    /// Whether it has ended by itself; panics when something was wrong.
    pub fn has_ended(&mut self) -> bool {
        let status = self.child.try_wait().unwrap();
        assert!(status.is_none_or(|status| status.success()), "the talker failed: {}", fs::read_to_string(&self.log).unwrap());
        status.is_some()
    }

    /// In the middle of whatever it does; what it wrote down that was not read yet.
    pub fn kill(mut self) -> Vec<Word> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.words.iter().collect()
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No test: what the process is that [`Talker::start`] starts. In every other process it has nothing to do.
#[test]
fn role() {
    let Ok(what) = std::env::var(WHAT) else { return };
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0); // whoever started this is gone
    });
    let ttl = Duration::from_millis(std::env::var(TTL_MS).unwrap().parse().unwrap());
    // A connection that is cut before there is a session is nobody's to repair.
    let connect = || Manager::builder().from_env().unwrap().ttl(ttl).label(LABEL).connect();
    let manager = iter::repeat_with(connect).find_map(Result::ok).expect("it never ends");
    match talk(&manager, &what) {
        Ok(()) | Err(Error::Lost(_)) => {}
        Err(error) => panic!("{what}: {error}"),
    }
}

fn talk(manager: &Manager, what: &str) -> bursar::Result<()> {
    let end = |channel: &str, end: &str| -> bursar::Result<End<Said>> {
        let channel = manager.channel(channel).open()?;
        Ok(if end == "a" { channel.a() } else { channel.b() })
    };
    let topic = |topic: &str| -> bursar::Result<Topic<Said>> { manager.topic(topic).open() };
    match what.split(' ').collect::<Vec<_>>()[..] {
        ["send", channel, side, sender] => {
            let end = end(channel, side)?;
            say_all(sender, |said| end.send(said).map(|_| ()))
        }
        ["publish", name, sender] => {
            let topic = topic(name)?;
            say_all(sender, |said| topic.publish("said", said).map(|_| ()))
        }
        ["receive", channel, side] => {
            let mut end = end(channel, side)?;
            loop {
                get(&end.receive_message()?)?;
            }
        }
        ["share", name, group] => share(topic(name)?.subscribe().group(group).prefetch(4).start()?),
        ["follow", name] => follow(manager, name),
        _ => panic!("{what}: no such talker"),
    }
}

fn write_down(word: Word) {
    println!("\n{WORD}{word}");
}

fn say_all(sender: &str, say: impl Fn(Said) -> bursar::Result<()>) -> bursar::Result<()> {
    let sender = sender.parse().unwrap();
    (0..).try_for_each(|number| {
        say((sender, number))?;
        write_down(Word::Sent((sender, number)));
        Ok(())
    })
}

/// One is done with it at once, the next one when its receiver asks again.
fn get(received: &Received<Said>) -> bursar::Result<()> {
    write_down(Word::got(received));
    if fastrand::bool() { received.done() } else { Ok(()) }
}

fn share(mut subscriber: Subscriber<Said>) -> bursar::Result<()> {
    loop {
        match subscriber.next_event()? {
            TopicEvent::Message(received) => get(&received)?,
            TopicEvent::Lagged { missed } => write_down(Word::Missed(missed)),
        }
    }
}

fn follow(manager: &Manager, topic: &str) -> bursar::Result<()> {
    let mut subscriber = manager.raw_topic(topic).open()?.subscribe().start()?;
    write_down(Word::At(subscriber.began_at()));
    loop {
        match subscriber.next_event() {
            Ok(TopicEvent::Message(received)) => write_down(Word::At(received.position())),
            Ok(TopicEvent::Lagged { missed }) => write_down(Word::Missed(missed)),
            Err(error) => {
                let Some(Fault::Lagged { missed }) = error.fault() else { return Err(error) };
                write_down(Word::Ended(*missed));
                return Ok(());
            }
        }
    }
}
