//! Scenarios on names, hosts and kinds as the broker has them, with a clock that only the script moves. No runtime, no transport, no
//! sessions of the broker: what a session's end does is done here in the same order.

use super::{
    play::{CallNumber, Driver},
    script::{Call, Outcome},
    wire,
};
use bursar_proto::{
    Fault, limits,
    v1::{ObjectRef, answer, registry},
};
use bursar_server::{
    clock::Clock,
    objects::{
        agenda::Agenda,
        core::CallId,
        door::{Door, Routed},
        host::{Hosted, Inbox, Ticket, World},
        kind::{Departure, Moment, SessionId},
        registry::Registry,
    },
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Nothing in a scenario is due later than this after the last step.
const PATIENCE_MS: u64 = 600_000;

pub struct Kinds {
    clock: Clock,
    agenda: Arc<Agenda>,
    door: Arc<Door>,
    sessions: BTreeMap<String, Session>,
    calls: HashMap<CallNumber, Asked>,
    sessions_begun: u64,
}

struct Session {
    id: SessionId,
    inbox: Arc<Mailbox>,
    /// By name: the epochs of the objects that it has open.
    handles: BTreeMap<String, u64>,
    /// By epoch: the objects that it has called.
    touched: BTreeMap<u64, Arc<dyn Hosted>>,
}

struct Asked {
    id: CallId,
    verb: String,
    inbox: Arc<Mailbox>,
    /// `None`: it was for the names.
    host: Option<Arc<dyn Hosted>>,
}

/// What one session was answered.
#[derive(Default)]
struct Mailbox {
    answers: Mutex<HashMap<u64, Result<answer::Reply, Fault>>>,
    has_ended: AtomicBool,
}

impl Inbox for Mailbox {
    fn deliver(&self, sequence: u64, result: Result<answer::Reply, Fault>) {
        let earlier = self.answers.lock().insert(sequence, result);
        assert!(earlier.is_none(), "a call is answered once");
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }
}

impl Kinds {
    pub fn new() -> Kinds {
        let (clock, agenda) = (Clock::manual(Moment(1_000_000)), Arc::new(Agenda::default()));
        let world = World::new(clock.clone(), agenda.clone(), None, limits::PAYLOAD_BYTES_MAX);
        let door = Arc::new(Door::new(Registry::new(Arc::new(world), 1000)));
        Kinds { clock, agenda, door, sessions: BTreeMap::new(), calls: HashMap::new(), sessions_begun: 0 }
    }

    fn session(&mut self, letter: &str) -> &mut Session {
        let begun = &mut self.sessions_begun;
        self.sessions.entry(letter.to_owned()).or_insert_with(|| {
            *begun += 1;
            let (id, inbox) = (SessionId(*begun), Arc::new(Mailbox::default()));
            Session { id, inbox, handles: BTreeMap::new(), touched: BTreeMap::new() }
        })
    }

    /// The epoch of the object that the session has open by this name; opened now if need be.
    fn handle(&mut self, letter: &str, name: &str) -> Result<u64, Fault> {
        let session = self.session(letter);
        let id = session.id;
        if let Some(epoch) = session.handles.get(name) {
            return Ok(*epoch);
        }
        let mode = registry::Mode::Open.into();
        let request = registry::OpenRequest { name: name.to_owned(), mode, options: None, ephemeral: false };
        let epoch = self.door.registry().open(id, request)?.epoch;
        self.session(letter).handles.insert(name.to_owned(), epoch);
        Ok(epoch)
    }

    /// Lets one millisecond pass.
    fn tick(&self) {
        self.clock.advance(1);
        while self.agenda.wake_one(self.clock.now()) {}
    }

    fn execute(&mut self, number: CallNumber, call: &Call) -> Result<(), String> {
        let epoch = if wire::is_for_names(call) { Ok(0) } else { self.handle(&call.session, &call.object) };
        let command = wire::command(call, *epoch.as_ref().unwrap_or(&0))?;
        let door = self.door.clone();
        let Session { id, inbox, handles, touched } = self.session(&call.session);
        let (id, inbox) = (CallId { session: *id, sequence: number as u64 + 1 }, inbox.clone());
        let mut asked = Asked { id, verb: call.verb.clone(), inbox: inbox.clone(), host: None };
        match epoch.and_then(|_| door.route(Some(command))) {
            Err(fault) => inbox.deliver(id.sequence, Err(fault)),
            Ok(Routed::Names(verb)) => {
                let result = door.name(id.session, verb, Default::default);
                if let Ok(answer::Reply::Registry(registry::Reply { verb: Some(registry::reply::Verb::Open(opened)) })) = &result
                {
                    handles.insert(call.object.clone(), opened.epoch);
                }
                inbox.deliver(id.sequence, result);
            }
            Ok(Routed::Object(host, command, wait, fence)) => {
                touched.insert(host.epoch(), host.clone());
                asked.host = Some(host.clone());
                door.call(&*host, Ticket { call: id, inbox }, command, wait, fence);
            }
            Ok(Routed::Several(transaction)) => {
                touched.extend(transaction.hosts().iter().map(|host| (host.epoch(), host.clone())));
                door.execute(transaction, Ticket { call: id, inbox });
            }
        }
        self.calls.insert(number, asked);
        Ok(())
    }

    fn take(&mut self, number: CallNumber) -> Option<Outcome> {
        let asked = &self.calls[&number];
        let result = asked.inbox.answers.lock().remove(&asked.id.sequence)?;
        let letter = |id: u64| {
            let owner = self.sessions.iter().find(|(_, session)| session.id.0 == id);
            owner.map_or_else(|| id.to_string(), |(letter, _)| letter.clone())
        };
        Some(match result {
            Ok(reply) => wire::outcome(&asked.verb, reply, &letter),
            Err(fault) => wire::fault(&fault),
        })
    }
}

impl Driver for Kinds {
    fn name(&self) -> String {
        "kind".into()
    }

    fn has(&self, need: &str) -> bool {
        ["clock", "raw", "loss"].contains(&need)
    }

    fn begin(&mut self, number: CallNumber, call: &Call) -> Result<(), String> {
        self.execute(number, call)
    }

    fn answer(&mut self, number: CallNumber) -> Outcome {
        for _ in 0..PATIENCE_MS {
            if let Some(outcome) = self.take(number) {
                return outcome;
            }
            self.tick();
        }
        Outcome::word("waits")
    }

    fn waits(&mut self, number: CallNumber) -> Result<(), Outcome> {
        self.take(number).map_or(Ok(()), Err)
    }

    fn cancel(&mut self, number: CallNumber) {
        let asked = &self.calls[&number];
        let host = asked.host.as_ref().expect("only calls of objects wait");
        assert!(host.cancel(asked.id), "the call waits");
        assert_eq!(self.take(number), Some(Outcome::word("cancelled")));
    }

    fn end(&mut self, session: &str, _calls: &[CallNumber]) {
        let Some(Session { id, inbox, touched, .. }) = self.sessions.remove(session) else { return };
        inbox.has_ended.store(true, Ordering::SeqCst);
        touched.values().for_each(|host| host.depart(id, Departure::Lost, "its process exited"));
        self.door.registry().departed(id);
    }

    fn miss(&mut self, session: &str, lease: &str) -> Result<(), String> {
        let lease = lease.parse().map_err(|_| format!("  {lease} is no lease"))?;
        let Session { id, touched, .. } = self.session(session);
        let (id, hosts) = (*id, touched.values());
        // Whichever kind gave it.
        for reply in wire::replies_that_give(lease) {
            hosts.clone().for_each(|host| host.unheard(id, reply.clone()));
        }
        Ok(())
    }

    fn pass(&mut self, ms: u64) {
        (0..ms).for_each(|_| self.tick());
    }

    fn violation(&mut self) -> Option<String> {
        let objects = self.door.registry().list(&registry::ListRequest::default()).objects;
        objects.into_iter().find_map(|object| {
            let reference = ObjectRef { name: object.name.clone(), epoch: object.epoch };
            let violation = self.door.registry().resolve(Some(&reference)).ok()?.violation()?;
            Some(format!("{}: {violation}", object.name))
        })
    }

    fn clear(&mut self) {
        *self = Kinds::new();
    }
}
