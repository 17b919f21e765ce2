//! The session: what callers share with the thread that speaks for them.
//!
//! One thread per session owns the connection, the beats and the reconnects ([`live`]), so that a program whose own runtime is
//! blocked does not look dead. Callers only touch the [`outbox`], under one short lock, and await cells of their own; so they run
//! on any executor, or on none.
//!
//! ```text
//!   connected ──(connection lost)──► suspended ──(resumed)──► connected
//!       │                                │
//!       └── ended by broker or close ────┴── ttl over, or the broker does not know it any more ──► lost
//! ```

mod live;
mod outbox;
mod side;

use crate::{Error, Result, State, error::SessionEnded, objects::usage::Usages};
use bursar_memory::{Hello, Scattered, SideSocket};
use bursar_proto::{Fault, frame::ClientFrame, v1};
use bytes::Bytes;
use outbox::{Limits, Outbox};
use parking_lot::Mutex;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, oneshot, watch};

pub(crate) use live::{Config, start};
pub(crate) use outbox::{Reply, Unsent};

pub(crate) struct Session {
    /// Never locked across an await, and never while a waker or a cell is used.
    outbox: Mutex<Outbox>,
    /// What resuming needs; set by the first connection.
    identity: Mutex<Option<Identity>>,
    /// Where memory is handed over, and the number of the connection beside which it is; none where that cannot be.
    side: Mutex<Option<(u64, Arc<SideSocket>)>>,
    /// Memory got lost on it once: it is not used any more.
    side_failed: AtomicBool,
    /// Until when the broker certainly keeps the session.
    valid_until: Mutex<Instant>,
    state: watch::Sender<State>,
    /// Wakes the thread for a close.
    closing: Notify,
    /// Leases, and grants of locks, that the program holds in its hands.
    held: AtomicUsize,
    /// Which names the program has opened, and how often.
    usages: Usages,
    /// The process that connected.
    pid: u32,
}

/// The broker's name for a session, to resume it.
#[derive(Clone, Debug)]
struct Identity {
    session_id: u64,
    token: Bytes,
    epoch: u64,
    /// Opens that were sent since the last Opened: each may have raised the epoch without our knowing.
    attempts: u64,
}

impl Session {
    fn new() -> Session {
        Session {
            outbox: Mutex::new(Outbox::new()),
            identity: Mutex::new(None),
            side: Mutex::new(None),
            side_failed: AtomicBool::new(false),
            valid_until: Mutex::new(Instant::now()),
            state: watch::Sender::new(State::Connected),
            closing: Notify::new(),
            held: AtomicUsize::new(0),
            usages: Usages::default(),
            pid: std::process::id(),
        }
    }

    pub fn state(&self) -> &watch::Sender<State> {
        &self.state
    }

    pub fn valid_until(&self) -> Instant {
        *self.valid_until.lock()
    }

    pub fn id(&self) -> u64 {
        self.identity.lock().as_ref().map_or(0, |identity| identity.session_id)
    }

    pub fn usages(&self) -> &Usages {
        &self.usages
    }

    pub fn payload_bytes_max(&self) -> u64 {
        self.outbox.lock().limits().payload_bytes_max
    }

    /// Queues a call; its place in the session's order is its sequence.
    pub fn send(&self, entry: Unsent, sender: oneshot::Sender<Reply>) -> Result<u64> {
        if self.is_forked() {
            return Err(Error::Forked { connected: self.pid, current: std::process::id() });
        }
        let entry = self.shared(entry);
        Ok(self.change(|outbox| outbox.send(entry, Some(sender)))?)
    }

    /// Queues a call whose answer nobody needs.
    pub fn tell(&self, entry: Unsent) {
        if !self.is_forked() {
            // Refused only when the session is over: then there is nobody to tell.
            let _ = self.change(|outbox| outbox.send(entry, None));
        }
    }

    /// What is large in it is copied into memory right here, by its caller: the session's own thread beats meanwhile.
    fn shared(&self, entry: Unsent) -> Unsent {
        let side = if entry.is_large() { self.side.lock().clone() } else { None };
        match side {
            Some((generation, side)) => entry.share(&side, generation),
            None => entry,
        }
    }

    pub fn heard(&self, sequence: u64) {
        self.change(|outbox| outbox.heard(sequence));
    }

    pub fn cancel(&self, sequence: u64) {
        if !self.is_forked() {
            self.change(|outbox| outbox.cancel(sequence));
        }
    }

    pub fn forget(&self, sequence: u64) {
        if !self.is_forked() {
            self.change(|outbox| outbox.forget(sequence));
        }
    }

    /// The program has a lease, or a grant of a lock, in its hands.
    pub fn hold(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    /// And no more.
    pub fn let_go(&self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }

    /// Nothing is under way, and nothing is to be settled.
    fn is_idle(&self) -> bool {
        self.held.load(Ordering::Relaxed) == 0 && self.outbox.lock().is_empty()
    }

    /// Starts a clean end: what is queued goes out first.
    pub fn close(&self) {
        if !self.is_forked() {
            self.change(Outbox::close);
            self.closing.notify_one();
        }
    }

    /// In a forked child the thread does not exist, and the lock may be held by nobody for ever.
    fn is_forked(&self) -> bool {
        std::process::id() != self.pid
    }

    fn change<R>(&self, change: impl FnOnce(&mut Outbox) -> R) -> R {
        let (result, waker) = {
            let mut outbox = self.outbox.lock();
            (change(&mut outbox), outbox.waker())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// A new connection: queues its Open and gives its stream.
    fn begin(self: &Arc<Session>, config: &Config) -> Outgoing {
        let (generation, unheard) = self.change(Outbox::begin);
        let (session_id, token, epoch) = match &mut *self.identity.lock() {
            Some(known) => {
                known.attempts += 1;
                (known.session_id, known.token.clone(), known.epoch)
            }
            None => (0, Bytes::new(), 0),
        };
        self.change(|outbox| {
            outbox.push_open(v1::Open {
                session_id,
                token,
                epoch,
                ttl_ms: config.ttl.map_or(0, |ttl| ttl.as_millis() as u64),
                label: config.label.clone(),
                process: Some(bursar_proto::process::this_process()),
                unheard,
            });
        });
        Outgoing { session: self.clone(), generation }
    }

    fn opened(&self, opened: v1::Opened, asked: Instant) -> Duration {
        let v1::Opened { session_id, token, epoch, ttl_ms, limits, resumed: _, boot_epoch: _ } = opened;
        *self.identity.lock() = Some(Identity { session_id, token, epoch, attempts: 0 });
        let ttl = match ttl_ms {
            0 => Duration::from_millis(bursar_proto::limits::SESSION_TTL_MS),
            ms => Duration::from_millis(ms),
        };
        self.extend(asked + ttl);
        self.change(|outbox| outbox.opened(Limits::ruled(limits)));
        self.set_state(State::Connected);
        ttl
    }

    /// Whether it was this session itself that raised the epoch: by an Open whose answer got lost.
    fn adopt_epoch(&self, epoch: u64) -> bool {
        let mut identity = self.identity.lock();
        let Some(known) = &mut *identity else { return false };
        // The Open that was refused just now has raised nothing.
        let raised = epoch.saturating_sub(known.epoch);
        let is_own = raised > 0 && raised < known.attempts;
        if is_own {
            known.attempts -= raised;
            known.epoch = epoch;
        }
        is_own
    }

    fn extend(&self, until: Instant) {
        let mut valid_until = self.valid_until.lock();
        *valid_until = until.max(*valid_until);
    }

    /// How to greet the broker on a side socket of this connection; `None`: memory got lost on one before.
    fn hello(&self) -> Option<Hello> {
        let identity = self.identity.lock();
        let Identity { session_id, token, epoch, .. } = identity.as_ref()?;
        let has_failed = self.side_failed.load(Ordering::Relaxed);
        (!has_failed).then_some(Hello { session: *session_id, epoch: *epoch, token: token[..].try_into().ok()? })
    }

    /// Beside the connection of now.
    fn use_side_socket(&self, side: Option<SideSocket>) {
        let generation = self.outbox.lock().generation();
        *self.side.lock() = side.map(|side| (generation, Arc::new(side)));
    }

    /// The answer, part of which was handed over. An error costs the connection: on the next one everything travels whole.
    fn gather(&self, mapped: v1::Mapped) -> Result<Scattered> {
        let lost = |problem: String| Error::refused(Fault::MemoryLost { problem }, "session", "");
        let side = self.side.lock().clone();
        let (_, side) = side.ok_or_else(|| lost("no side socket is open".into()))?;
        side.gather(mapped.into(), u64::MAX).map_err(|error| lost(error.to_string()))
    }

    /// Memory that was named did not arrive, here or there.
    fn give_up_side_socket(&self) {
        self.side_failed.store(true, Ordering::Relaxed);
    }

    fn suspend(&self) {
        *self.side.lock() = None;
        self.change(Outbox::disconnect);
        self.set_state(State::Suspended);
    }

    fn set_state(&self, state: State) {
        self.state.send_if_modified(|current| std::mem::replace(current, state) != state);
    }

    /// Everybody who waits is told, and everybody who asks from now on.
    fn end(&self, ended: SessionEnded) {
        *self.side.lock() = None;
        let told = self.change(|outbox| outbox.end(ended));
        // Before the callers are told, who may look at once.
        self.set_state(State::Lost);
        for (sender, ended) in told {
            // The caller may be gone.
            let _ = sender.send(Err(ended));
        }
    }

    fn is_closing(&self) -> bool {
        self.outbox.lock().is_closing()
    }

    /// Hands answers to those who wait for them.
    fn deliver(&self, answers: Vec<(u64, Scattered)>) {
        let deliveries: Vec<_> = self.change(|outbox| {
            let mut deliveries = Vec::with_capacity(answers.len());
            for (sequence, answer) in answers {
                deliveries.extend(outbox.answer(sequence, answer.len()).map(|sender| (sender, answer)));
            }
            deliveries
        });
        for (sender, answer) in deliveries {
            // A caller that leaves in this moment cancels the call, and its answer is taken back.
            let _ = sender.send(Ok(answer));
        }
    }
}

/// What one connection's stream says: frames made of whatever is ready when the transport can take one.
struct Outgoing {
    session: Arc<Session>,
    generation: u64,
}

impl futures_util::Stream for Outgoing {
    type Item = ClientFrame;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ClientFrame>> {
        let mut outbox = self.session.outbox.lock();
        match outbox.next_frame(self.generation) {
            Ok(Some(frame)) => Poll::Ready(Some(frame)),
            Ok(None) => {
                outbox.set_waker(context.waker());
                Poll::Pending
            }
            Err(()) => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resuming(epoch: u64, attempts: u64) -> Session {
        let session = Session::new();
        *session.identity.lock() = Some(Identity { session_id: 1, token: Bytes::new(), epoch, attempts });
        session
    }

    /// The answer to an Open gets lost with its connection: the broker has raised the epoch, and the next Open comes with the old one.
    #[test]
    fn an_epoch_that_an_own_lost_open_raised_is_adopted() {
        let session = resuming(3, 3);
        assert!(session.adopt_epoch(5), "two were lost, the third was refused");
        assert!(!session.adopt_epoch(6), "nothing is left that could have raised it once more");
    }

    #[test]
    fn an_epoch_that_somebody_else_raised_is_not() {
        assert!(!resuming(3, 1).adopt_epoch(4), "the only Open is the refused one");
        assert!(!resuming(3, 2).adopt_epoch(5));
        assert!(!Session::new().adopt_epoch(1));
    }
}
