//! All sessions: opening, resuming, ending, and noticing silence.

use super::session::{Begin, Caller, Session};
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
use std::{
    sync::{Arc, Weak},
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
}

impl Table {
    /// No sessions.
    pub fn new(door: Arc<Door>, clock: Clock, settings: Settings) -> Arc<Table> {
        let table = Arc::new(Table { sessions: DashMap::new(), door, clock, settings, connections: Arc::default() });
        let callers: Weak<Table> = Arc::downgrade(&table);
        table.door.registry().world().directory.ask(callers);
        table
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
        let caller = Caller { peer: connection.peer.to_string(), label: "unary calls".into(), ..Caller::default() };
        self.add(caller, u64::MAX)
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
        if session.end(how, &Fault::SessionEnded { reason: reason.to_owned() }) {
            self.door.registry().departed(session.id);
            // Last: who does not see the session in `Status` any more finds everything given back.
            self.sessions.remove(&session.id);
            tracing::debug!(session = session.id.0, label = session.caller.label, reason, "session ended");
        }
    }

    /// Ends a session as if its process had been killed.
    pub fn lose(&self, id: SessionId) {
        if let Some(session) = self.sessions.get(&id).map(|entry| entry.value().clone()) {
            self.end(&session, Departure::Lost, "its process exited");
        }
    }

    /// The process at the other end of this connection is no more.
    pub fn process_exited(&self, connection: &Connection) {
        for session in connection.sessions().iter().filter(|session| session.was_last_on(connection)) {
            self.end(session, Departure::Lost, "its process exited");
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
        let Caller { label, process, peer } = &session.caller;
        let label = if process.pid == 0 { format!("{label} from {peer}") } else { label.clone() };
        Some(pb::Party { session: session.id.0, label, pid: process.pid, host: process.host.clone() })
    }

    fn has_ended(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_none_or(|session| session.has_ended())
    }
}

fn is_silent(session: &Session, now: Moment) -> bool {
    now.ms_since(session.last_heard()) > session.ttl_ms
}
