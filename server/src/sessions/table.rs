//! All sessions: opening, resuming, ending, and noticing silence.

use super::{
    session::{Begin, Caller, Origin, Session},
    witness::Witness,
};
use crate::{
    clock::Clock,
    objects::{
        core::CallId,
        door::{Door, Routed},
        host::{Inbox, Ticket},
        kind::{Departure, Moment, SessionId},
        waits::Callers,
    },
    transport::Connection,
};
use bursar_proto::{
    Fault, authkey, limits,
    v1::{self, call, registry as pb, server_entry},
};
use dashmap::DashMap;
use futures_util::future::join_all;
use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

/// How often silence is looked for. Half of the 250 ms within which the end of a silent session must be noticed, less a margin.
const LOOK: Duration = Duration::from_millis(100);
/// A look that comes this late means that the broker itself stood still.
const STALL_MS: u64 = 1_000;
/// Sessions at once, suspended ones too: several for each connection that there may be by default.
const SESSIONS_MAX: usize = 16_384;
/// Sessions in one reply of `Status`.
const SHOWN_MAX: usize = 1000;

/// How long the end of a session waits for the words of a witness. A lock must not be kept from its next holder for much longer than it
/// takes to notice a death; who has started a process knows of its end within milliseconds.
const TESTIMONY_WITHIN: Duration = Duration::from_millis(250);
/// Bytes of such words that are kept: as many as of any other reason.
const WORDS_BYTES_MAX: usize = 1 << 10;
/// So many of them from the front, where the cause stands; the rest are the last of its last words.
const CAUSE_BYTES_MAX: usize = 256;

/// What a broker is configured to give its sessions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The silence after which a session ends that asks for none.
    pub ttl_ms: u64,
    /// Largest payload of an item or value.
    pub payload_bytes_max: usize,
    /// Calls of one session that are not answered yet.
    pub calls_in_flight_max: usize,
    /// Which broker this is.
    pub server_id: [u8; 16],
    /// Which of its lives.
    pub boot_epoch: u64,
    /// Its engine, and what acknowledged work outlives.
    pub engine: (&'static str, &'static str),
}

/// All sessions of a broker.
pub struct Table {
    sessions: DashMap<SessionId, Arc<Session>>,
    /// The objects.
    pub door: Arc<Door>,
    /// What time it is.
    pub clock: Clock,
    settings: Settings,
    /// Open connections, for `Status`.
    pub connections: Arc<std::sync::atomic::AtomicUsize>,
    witness: OnceLock<Arc<dyn Witness>>,
}

impl Table {
    /// No sessions.
    pub fn new(door: Arc<Door>, clock: Clock, settings: Settings) -> Arc<Table> {
        let table = Arc::new(Table {
            sessions: DashMap::new(),
            door,
            clock,
            settings,
            connections: Arc::default(),
            witness: OnceLock::new(),
        });
        let callers: Weak<Table> = Arc::downgrade(&table);
        table.door.registry().world().directory.ask(callers);
        table
    }

    /// From now on this one is asked whence sessions come, and how their processes ended. The first one stays.
    pub fn set_witness(&self, witness: Arc<dyn Witness>) {
        _ = self.witness.set(witness);
    }

    /// The sessions that come from a run of a worker.
    pub fn sessions_of_run(&self, run: u64) -> Vec<u64> {
        let is_of_run = |session: &Session| session.origin().is_some_and(|origin| origin.run == run);
        self.sessions.iter().filter(|session| is_of_run(session)).map(|session| session.id.0).collect()
    }

    /// This connection carries the session from now on: notes of which run its process is, if anybody knows.
    pub(super) fn attribute(&self, session: &Session, connection: &Connection) {
        if let Some(witness) = self.witness.get() {
            let origin = |pid| Some(Origin { run: witness.run_of(pid)?, pid });
            session.came_from(connection.pid().and_then(origin));
        }
    }

    fn attributed(&self, session: &Session) -> Option<(&Arc<dyn Witness>, Origin)> {
        self.witness.get().zip(session.origin())
    }

    /// The limits as `Opened` says them.
    pub(super) fn limits(&self) -> v1::Limits {
        v1::Limits {
            frame_bytes_max: limits::FRAME_BYTES_MAX as u64,
            entries_max: limits::FRAME_ENTRIES_MAX as u64,
            payload_bytes_max: self.settings.payload_bytes_max as u64,
            calls_in_flight_max: self.settings.calls_in_flight_max as u64,
        }
    }

    pub(super) fn boot_epoch(&self) -> u64 {
        self.settings.boot_epoch
    }

    /// A new session.
    pub fn open(&self, caller: Caller, ttl_ms: u64) -> Result<Arc<Session>, Fault> {
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(Fault::LimitReached { what: "sessions".into(), limit: SESSIONS_MAX as u64 });
        }
        let range = limits::SESSION_TTL_MS_RANGE;
        let ttl_ms = match ttl_ms {
            0 => self.settings.ttl_ms,
            ttl_ms if range.contains(&ttl_ms) => ttl_ms,
            ttl_ms => {
                let problem = format!("expected {} to {} milliseconds, got {ttl_ms}", range.start(), range.end());
                return Err(Fault::bad_argument("ttl_ms", problem));
            }
        };
        Ok(self.add(caller, ttl_ms))
    }

    /// The session of one connection's unary calls. Silence does not end it: nobody beats for a client that works on an item
    /// between two calls. It ends with its connection, which keepalive closes when the peer does not answer any more.
    pub(super) fn open_unary(&self, connection: &Connection) -> Arc<Session> {
        let (peer, is_own_user) = (connection.peer.to_string(), connection.peer.is_own_user());
        let caller = Caller { peer, is_own_user, label: "unary calls".into(), ..Caller::default() };
        let session = self.add(caller, u64::MAX);
        self.attribute(&session, connection);
        session
    }

    fn add(&self, caller: Caller, ttl_ms: u64) -> Arc<Session> {
        let now = self.clock.now();
        loop {
            // 53 bits, so that every language's numbers can hold it.
            let id = SessionId(u64::from_be_bytes(authkey::random()) >> 11);
            let session = Arc::new(Session::new(id, ttl_ms, caller.clone(), now, self.settings.calls_in_flight_max));
            if id.0 > 0 && !self.sessions.contains_key(&id) {
                self.sessions.insert(id, session.clone());
                tracing::debug!(session = id.0, label = session.caller.label, peer = session.caller.peer, "session opened");
                return session;
            }
        }
    }

    /// The session of this id, if the token is its token.
    pub fn find(&self, id: u64, token: &[u8]) -> Option<Arc<Session>> {
        let session = self.sessions.get(&SessionId(id)).map(|entry| entry.value().clone())?;
        // Compared by their MACs under a random key, which takes the same time wherever they differ.
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &authkey::random::<32>());
        let tag = ring::hmac::sign(&key, &session.token);
        ring::hmac::verify(&key, token, tag.as_ref()).ok().map(|()| session)
    }

    /// Ends a session: its waits are cancelled, what it held is given back.
    pub fn end(&self, session: &Session, how: Departure, reason: &str) {
        let witness = self.attributed(session).map(|(witness, origin)| (witness, origin.run, session.held()));
        if session.end(how, reason) {
            self.door.registry().departed(session.id);
            // Last: who does not see the session in `Status` any more finds everything given back.
            self.sessions.remove(&session.id);
            tracing::debug!(session = session.id.0, label = session.caller.label, reason, "session ended");
            if let Some((witness, run, held)) = witness.filter(|(.., held)| !held.is_empty()) {
                witness.returned(run, held);
            }
        }
    }

    /// Ends a session as if its process had been killed.
    pub fn lose(&self, id: SessionId) {
        if let Some(session) = self.sessions.get(&id).map(|entry| entry.value().clone()) {
            self.end(&session, Departure::Lost, "its process exited");
        }
    }

    /// The process at the other end of this connection is no more: its sessions end, those whose process a witness knows with its words.
    pub async fn process_exited(&self, connection: &Connection) {
        let end = async |session: &Session| {
            let words = self.last_words(session, std::future::ready(())).await;
            // It may have been resumed by another process meanwhile.
            if session.was_last_on(connection) {
                self.end(session, Departure::Lost, words.as_deref().unwrap_or("its process exited"));
            }
        };
        let sessions = connection.sessions();
        join_all(sessions.iter().filter(|session| session.was_last_on(connection)).map(|session| end(session))).await;
    }

    /// The connection of these unary calls is gone. Most often its process goes with it, whose exit is seen a moment later.
    pub async fn connection_closed(&self, session: &Session, exit: impl Future<Output = ()>) {
        let words = self.last_words(session, exit).await;
        self.end(session, Departure::Lost, words.as_deref().unwrap_or("its connection closed"));
    }

    /// What a witness says of the end of the session's process. Ready at once if there is none.
    async fn last_words(&self, session: &Session, exit: impl Future<Output = ()>) -> Option<String> {
        let (witness, Origin { run, pid }) = self.attributed(session)?;
        let testimony = async {
            exit.await;
            witness.testimony(run, pid).await
        };
        tokio::select! {
            words = testimony => words.map(shortened),
            () = self.clock.sleep(TESTIMONY_WITHIN) => None,
        }
    }

    /// Executes one call of a session. Its answer goes to the session, now or later.
    pub fn call(&self, session: &Arc<Session>, sequence: u64, command: Option<call::Command>) {
        let routed = self.door.route(command);
        let host = match &routed {
            Ok(Routed::Object(host, ..)) => Some(host),
            Ok(Routed::Several(transaction)) => {
                transaction.hosts().iter().for_each(|host| session.touch(host));
                None
            }
            _ => None,
        };
        match session.begin(sequence, host) {
            Begin::New => {}
            Begin::Repeated => return,
            Begin::Refused(fault) => return session.refuse(sequence, &fault),
        }
        match routed {
            Err(fault) => session.deliver(sequence, Err(fault)),
            Ok(Routed::Names(verb)) => session.deliver(sequence, self.name(session, verb)),
            Ok(Routed::Object(host, command, wait, fence)) => {
                let call = CallId { session: session.id, sequence };
                self.door.call(&*host, Ticket { call, inbox: session.clone() }, command, wait, fence);
            }
            Ok(Routed::Several(transaction)) => {
                let call = CallId { session: session.id, sequence };
                self.door.execute(transaction, Ticket { call, inbox: session.clone() });
            }
        }
    }

    /// Executes a command for the names.
    pub(super) fn name(&self, session: &Session, verb: pb::command::Verb) -> Result<v1::answer::Reply, Fault> {
        let result = self.door.name(session.id, verb, || self.status());
        if session.has_ended() {
            // It may have opened an ephemeral object after its departure was told.
            self.door.registry().departed(session.id);
        }
        result
    }

    fn status(&self) -> pb::StatusReply {
        let now = self.clock.now();
        let info = |session: &Session| pb::SessionInfo {
            id: session.id.0,
            label: session.caller.label.clone(),
            host: session.caller.process.host.clone(),
            pid: session.caller.process.pid,
            peer: session.caller.peer.clone(),
            state: if session.is_live() { "live" } else { "suspended" }.to_owned(),
            age_ms: now.ms_since(session.opened),
            silent_ms: now.ms_since(session.last_heard()),
            in_flight: session.in_flight() as u64,
        };
        let shown: Vec<Arc<Session>> = self.sessions.iter().take(SHOWN_MAX).map(|entry| entry.value().clone()).collect();
        pb::StatusReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            server_id: self.settings.server_id.to_vec().into(),
            boot_epoch: self.settings.boot_epoch,
            uptime_ms: now.ms_since(self.clock.epoch()),
            pid: std::process::id(),
            connections: self.connections.load(std::sync::atomic::Ordering::Relaxed) as u64,
            objects: self.door.registry().count() as u64,
            sessions: shown.iter().map(|session| info(session)).collect(),
            sessions_total: self.sessions.len() as u64,
            engine: self.settings.engine.0.to_owned(),
            survives: self.settings.engine.1.to_owned(),
        }
    }

    /// Whether a session comes from the broker's own user on its host, as the kernel says.
    pub fn is_of_own_user(&self, session: u64) -> bool {
        self.sessions.get(&SessionId(session)).is_some_and(|session| session.caller.is_own_user)
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// Tells every session that the broker is about to stop.
    pub fn going_away(&self, grace: Duration) {
        let notice = v1::GoingAway { grace_ms: grace.as_millis() as u64 };
        for session in self.all() {
            session.notify(server_entry::Entry::GoingAway(notice));
        }
    }

    fn all(&self) -> Vec<Arc<Session>> {
        self.sessions.iter().map(|entry| entry.value().clone()).collect()
    }

    /// Ends sessions that are silent for too long; never ends itself.
    pub async fn watch_silence(self: Arc<Table>) {
        let mut last_look = self.clock.now();
        loop {
            self.clock.sleep(LOOK).await;
            let stall_ms = self.clock.now().ms_since(last_look);
            if stall_ms > STALL_MS {
                tracing::warn!(stall_ms, "the broker stood still: all sessions are extended by that time");
                self.all().iter().for_each(|session| session.extend(session.last_heard().after_ms(stall_ms)));
            }
            self.end_silent();
            last_look = self.clock.now();
        }
    }

    /// Ends the sessions that are silent for too long by now.
    pub fn end_silent(&self) {
        let now = self.clock.now();
        for session in self.all().iter().filter(|session| is_silent(session, now)) {
            self.end(session, Departure::Lost, &format!("nothing was heard of it for {} ms", session.ttl_ms));
        }
    }
}

impl Callers for Table {
    fn party(&self, session: SessionId) -> Option<pb::Party> {
        let session = self.sessions.get(&session).map(|entry| entry.value().clone())?;
        let Caller { label, process, peer, is_own_user: _ } = &session.caller;
        let label = if process.pid == 0 { format!("{label} from {peer}") } else { label.clone() };
        Some(pb::Party { session: session.id.0, label, pid: process.pid, host: process.host.clone() })
    }

    fn has_ended(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_none_or(|session| session.has_ended())
    }
}

/// Leaves out the middle of what is too long: in front stands the cause, and at the end the last of what it wrote.
fn shortened(words: String) -> String {
    const LEFT_OUT: &str = " ... ";
    if words.len() <= WORDS_BYTES_MAX {
        return words;
    }
    let (mut front, mut back) = (CAUSE_BYTES_MAX, words.len() - (WORDS_BYTES_MAX - CAUSE_BYTES_MAX - LEFT_OUT.len()));
    while !words.is_char_boundary(front) {
        front -= 1;
    }
    while !words.is_char_boundary(back) {
        back += 1;
    }
    format!("{}{LEFT_OUT}{}", &words[..front], &words[back..])
}

fn is_silent(session: &Session, now: Moment) -> bool {
    now.ms_since(session.last_heard()) > session.ttl_ms
}

#[cfg(test)]
mod tests;
