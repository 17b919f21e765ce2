//! One connection: who is there, what it has proved, and what hangs off it.

use super::process::ProcessWatch;
use crate::{
    auth::Handshake,
    clock::Clock,
    objects::kind::Moment,
    sessions::{Link, Session},
};
use bursar_proto::{Fault, v1};
use parking_lot::Mutex;
use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub enum Peer {
    /// A Unix socket; the pid is the kernel's word, if it has one for this pid namespace.
    Unix {
        /// Process id.
        pid: Option<u32>,
        /// User id.
        uid: u32,
    },
    /// TCP.
    Tcp(SocketAddr),
    /// Within this process.
    Memory,
}

impl Peer {
    /// Whether it is a Unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self, Peer::Unix { .. })
    }

    /// Whether it is a process of this one's user on this host, by the kernel's word.
    pub fn is_own_user(&self) -> bool {
        match self {
            Peer::Unix { uid, .. } => *uid == rustix::process::geteuid().as_raw(),
            Peer::Tcp(_) => false,
            Peer::Memory => true,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Unix { pid: Some(pid), uid } => write!(formatter, "unix, pid {pid}, uid {uid}"),
            Peer::Unix { pid: None, uid } => write!(formatter, "unix, uid {uid}"),
            Peer::Tcp(address) => write!(formatter, "tcp {address}"),
            Peer::Memory => write!(formatter, "memory"),
        }
    }
}

/// Bytes in messages that have not arrived whole, over all connections.
#[derive(Debug)]
pub struct PartialBytes {
    all: AtomicU64,
    all_max: u64,
    per_connection_max: u64,
}

impl PartialBytes {
    /// A budget.
    pub fn new(all_max: u64, per_connection_max: u64) -> PartialBytes {
        PartialBytes { all: AtomicU64::new(0), all_max, per_connection_max }
    }
}

impl Link for Connection {
    fn id(&self) -> u64 {
        self.id
    }

    fn last_heard(&self) -> Moment {
        Moment(self.last_heard.load(Ordering::Relaxed))
    }
}

/// One connection.
pub struct Connection {
    /// Tells it from all others.
    pub id: u64,
    /// Who is there.
    pub peer: Peer,
    clock: Clock,
    last_heard: AtomicU64,
    handshake: Mutex<Handshake>,
    proven: CancellationToken,
    evicted: CancellationToken,
    closing: CancellationToken,
    /// Bytes in messages that have not arrived whole.
    partial: AtomicU64,
    budget: Arc<PartialBytes>,
    /// The sessions that streams of this connection carry or carried.
    sessions: Mutex<Vec<Weak<Session>>>,
    /// The session of unary calls.
    implicit: Mutex<Implicit>,
    sequence: AtomicU64,
    /// Shared with whoever waits for its exit, so that a wait which is given up takes nothing along.
    process: Mutex<Option<Arc<ProcessWatch>>>,
    process_known: Notify,
}

/// The session of unary calls: made by the first one, and never again once the connection has closed.
#[derive(Clone, Default)]
enum Implicit {
    #[default]
    Unused,
    Open(Arc<Session>),
    Over,
}

impl Implicit {
    fn session(self) -> Option<Arc<Session>> {
        match self {
            Implicit::Open(session) => Some(session),
            Implicit::Unused | Implicit::Over => None,
        }
    }
}

impl Connection {
    pub(crate) fn new(id: u64, peer: Peer, clock: Clock, budget: Arc<PartialBytes>) -> Connection {
        let process = match peer {
            Peer::Unix { pid: Some(pid), .. } => ProcessWatch::of_peer(pid).map(Arc::new),
            _ => None,
        };
        Connection {
            id,
            peer,
            last_heard: AtomicU64::new(clock.now().0),
            clock,
            handshake: Mutex::default(),
            proven: CancellationToken::new(),
            evicted: CancellationToken::new(),
            closing: CancellationToken::new(),
            partial: AtomicU64::new(0),
            budget,
            sessions: Mutex::default(),
            implicit: Mutex::default(),
            sequence: AtomicU64::new(0),
            process: Mutex::new(process),
            process_known: Notify::new(),
        }
    }

    pub(super) fn heard(&self) {
        self.last_heard.store(self.clock.now().0, Ordering::Relaxed);
    }

    /// Works on this connection's handshake.
    pub fn handshake<R>(&self, work: impl FnOnce(&mut Handshake, Moment) -> R) -> R {
        work(&mut self.handshake.lock(), self.clock.now())
    }

    /// A stream outlives single calls: it must be renewed before its credential expires.
    pub fn check_credential(&self) -> Result<(), Fault> {
        if self.handshake(|handshake, now| handshake.is_proven(now)) { Ok(()) } else { Err(Fault::HandshakeRequired {}) }
    }

    /// The peer has proved a key: the deadline for strangers does not hold any more.
    pub fn proven(&self) {
        self.proven.cancel();
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven.is_cancelled()
    }

    pub(super) async fn until_proven(&self) {
        self.proven.cancelled().await;
    }

    /// Ends the connection at once, unless it proves itself first.
    pub(super) fn evict(&self) {
        self.evicted.cancel();
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.is_cancelled()
    }

    pub(super) async fn until_evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Closes the connection, after what is being answered.
    pub fn close(&self) {
        self.closing.cancel();
    }

    pub(super) async fn until_closing(&self) {
        self.closing.cancelled().await;
    }

    /// A stream of this connection carries the session.
    pub fn carries(&self, session: &Arc<Session>, process: Option<&v1::Process>) {
        let mut sessions = self.sessions.lock();
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(Arc::downgrade(session));
        drop(sessions);
        if let (Peer::Tcp(address), Some(process)) = (&self.peer, process)
            && address.ip().to_canonical().is_loopback()
        {
            let mut watch = self.process.lock();
            if watch.is_none() {
                *watch = ProcessWatch::of_claim(process).map(Arc::new);
                self.process_known.notify_one();
            }
        }
    }

    /// The sessions of this connection, the implicit one too.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        let implicit = self.implicit.lock().clone().session();
        self.sessions.lock().iter().filter_map(Weak::upgrade).chain(implicit).collect()
    }

    /// The session of this connection's unary calls; a call that is still under way when the connection has closed gets none.
    pub fn implicit_session(self: &Arc<Connection>, open: impl FnOnce() -> Arc<Session>) -> Result<Arc<Session>, Fault> {
        let mut implicit = self.implicit.lock();
        match &*implicit {
            Implicit::Open(session) => Ok(session.clone()),
            Implicit::Over => Err(Fault::SessionEnded { reason: "its connection closed".into() }),
            Implicit::Unused => {
                let session = open();
                session.attach_unary(self.clone());
                *implicit = Implicit::Open(session.clone());
                Ok(session)
            }
        }
    }

    pub(super) fn end_implicit(&self) -> Option<Arc<Session>> {
        std::mem::replace(&mut *self.implicit.lock(), Implicit::Over).session()
    }

    /// Numbers of unary calls.
    pub fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How much one entry may have, however it comes.
    pub fn parts_max(&self) -> u64 {
        self.budget.per_connection_max.min(self.budget.all_max)
    }

    /// How much more may be announced in parts.
    pub fn parts_budget(&self) -> u64 {
        let own = self.budget.per_connection_max.saturating_sub(self.partial.load(Ordering::Relaxed));
        let all = self.budget.all_max.saturating_sub(self.budget.all.load(Ordering::Relaxed));
        own.min(all)
    }

    /// Bytes in partly received messages, counted from `before` to `after`.
    pub fn account_parts(&self, before: u64, after: u64) {
        for counter in [&self.partial, &self.budget.all] {
            if after >= before {
                counter.fetch_add(after - before, Ordering::Relaxed);
            } else {
                counter.fetch_sub(before - after, Ordering::Relaxed);
            }
        }
    }

    /// Waits until the peer's process exits. For ever, if that cannot be seen. May be dropped at any await, and be asked again.
    pub(super) async fn process_exit(&self) {
        loop {
            let watch = self.process.lock().clone();
            match watch {
                Some(watch) if watch.exit().await => return,
                Some(_) => std::future::pending().await,
                None => self.process_known.notified().await,
            }
        }
    }

    /// The process at the other end, which is on this host: the kernel's word, or a claim that holds. `None`: it cannot be seen.
    pub fn pid(&self) -> Option<u32> {
        self.process.lock().as_ref().map(|watch| watch.pid)
    }

    pub(super) fn sees_process(&self) -> bool {
        self.process.lock().is_some()
    }
}
