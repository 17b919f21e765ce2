//! The host of one live object: a lock, the clock, the journal and the way back to callers around a [`Core`].

use super::{
    agenda::Agenda,
    core::{Answer, CallId, Core, Turn},
    kind::{Departure, Moment, SessionId, Wire},
};
use crate::{
    clock::Clock,
    engine::{
        Mark,
        shard::{Listener, Shard},
    },
};
use bursar_proto::{
    Command, Fault, Name, Wait,
    v1::{answer::Reply, registry},
};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// Where the answers of one session, or of one unary call, go.
pub trait Inbox: Send + Sync {
    /// Takes the one answer of a call. Called without any lock held.
    fn deliver(&self, sequence: u64, result: Result<Reply, Fault>);
    /// Whether the session is over: then nothing may be given to it any more.
    fn has_ended(&self) -> bool;
}

/// The way back to a caller.
#[derive(Clone)]
pub struct Ticket {
    /// Which call this answers.
    pub call: CallId,
    /// Where the answer goes.
    pub inbox: Arc<dyn Inbox>,
}

impl Ticket {
    /// Answers the call.
    pub fn answer(self, result: Result<Reply, Fault>) {
        self.inbox.deliver(self.call.sequence, result);
    }
}

/// What all hosts share.
pub struct World {
    /// What time it is.
    pub clock: Clock,
    /// When hosts are to be woken.
    pub agenda: Arc<Agenda>,
    /// Where changes are recorded; `None` when nothing is to survive.
    pub shard: Option<Arc<Shard>>,
    /// Largest payload of an item or value.
    pub payload_bytes_max: usize,
}

/// An object of any kind.
pub trait Hosted: Send + Sync {
    /// Its name.
    fn name(&self) -> &Name;
    /// Tells it from earlier and later objects of the same name.
    fn epoch(&self) -> u64;
    /// The name of its kind.
    fn kind(&self) -> &'static str;
    /// Every option, defaults written out.
    fn options(&self) -> registry::Options;
    /// Calls in line, and the kind's own figures.
    fn figures(&self) -> (u64, Vec<(&'static str, u64)>);
    /// Which invariant is broken: for tests and simulation.
    fn violation(&self) -> Option<String>;
    /// Executes a command, now or when its turn comes.
    fn call(&self, ticket: Ticket, command: Command, wait: Wait);
    /// Takes a waiting call back; false: it does not wait here.
    fn cancel(&self, call: CallId) -> bool;
    /// A reply did not reach its caller.
    fn unheard(&self, caller: SessionId, reply: Reply);
    /// A session ended.
    fn depart(&self, session: SessionId, how: Departure);
    /// Time has passed.
    fn wake(&self);
    /// Everybody who waits gets this fault.
    fn dismiss(&self, fault: &Fault);
    /// The object is deleted: everybody who waits, and whoever still comes, gets this fault.
    fn stop(&self, fault: Fault);
}

/// One live object.
pub struct Host<K: Wire> {
    this: Weak<Host<K>>,
    name: Name,
    epoch: u64,
    world: Arc<World>,
    /// Short sections, never across an await.
    live: Mutex<Live<K>>,
}

struct Live<K: Wire> {
    core: Core<K, Ticket>,
    /// The earliest appointment in the agenda that is still to come.
    appointment: Option<Moment>,
}

impl<K: Wire> Host<K> {
    /// A host for a new object.
    pub fn start(name: Name, epoch: u64, kind: K, world: Arc<World>) -> Arc<Host<K>> {
        Arc::new_cyclic(|this| Host {
            this: this.clone(),
            name,
            epoch,
            world,
            live: Mutex::new(Live { core: Core::new(kind), appointment: None }),
        })
    }

    /// Works on the core under the lock, and delivers what may leave after it.
    fn turn<R>(&self, work: impl FnOnce(&mut Core<K, Ticket>, &mut Turn<'_, K, Ticket>) -> R) -> R {
        let mut out = Vec::new();
        let mut live = self.live.lock();
        let mut journal = |change: &K::Change| match &self.world.shard {
            Some(shard) => {
                let listener: Weak<dyn Listener> = self.this.clone();
                shard.record(self.epoch, K::encode(change), &listener)
            }
            None => Mark(0),
        };
        let mut turn = Turn { now: self.world.clock.now(), journal: &mut journal, out: &mut out };
        let result = work(&mut live.core, &mut turn);
        self.make_appointment(&mut live);
        drop(live);
        deliver(out);
        result
    }

    fn make_appointment(&self, live: &mut Live<K>) {
        if let Some(wake) = live.core.next_wake()
            && live.appointment.is_none_or(|appointment| wake < appointment)
        {
            let later = live.appointment.replace(wake);
            self.world.agenda.add(wake, self.epoch, self.this.clone(), later);
        }
    }
}

fn deliver<K: Wire>(answers: Vec<Answer<K, Ticket>>) {
    for Answer { ticket, result } in answers {
        ticket.answer(result.map(K::reply));
    }
}

impl<K: Wire> Hosted for Host<K> {
    fn name(&self) -> &Name {
        &self.name
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn kind(&self) -> &'static str {
        K::NAME
    }

    fn options(&self) -> registry::Options {
        self.live.lock().core.kind().options()
    }

    fn figures(&self) -> (u64, Vec<(&'static str, u64)>) {
        let live = self.live.lock();
        (live.core.waiting() as u64, live.core.kind().figures())
    }

    fn violation(&self) -> Option<String> {
        let live = self.live.lock();
        let overlooked = || live.core.overlooked(self.world.clock.now());
        live.core.kind().violation().or_else(|| overlooked().map(|call| format!("{call:?} waits, and could be answered")))
    }

    fn call(&self, ticket: Ticket, command: Command, wait: Wait) {
        if command.kind() != K::NAME {
            let (name, expected, actual) = (self.name.to_string(), command.kind().into(), K::NAME.into());
            return ticket.answer(Err(Fault::Mismatch { name, what: "kind".into(), expected, actual }));
        }
        let command = match K::command(command, self.world.payload_bytes_max) {
            Ok(command) => command,
            Err(fault) => return ticket.answer(Err(fault)),
        };
        self.turn(|core, turn| {
            // Under the lock: a session sets its end first and departs from its hosts after, so either this is seen here, or
            // what the call is about to hold is given back by that departure.
            if ticket.inbox.has_ended() {
                let result = Err(Fault::SessionEnded { reason: "before the call was executed".into() });
                turn.out.push(Answer { ticket, result });
            } else {
                core.call(ticket.call, command, wait, ticket, turn);
            }
        });
    }

    fn cancel(&self, call: CallId) -> bool {
        self.turn(|core, turn| core.cancel(call, turn))
    }

    fn unheard(&self, caller: SessionId, reply: Reply) {
        if let Some(reply) = K::holding(reply) {
            self.turn(|core, turn| core.unheard(caller, &reply, turn));
        }
    }

    fn depart(&self, session: SessionId, how: Departure) {
        self.turn(|core, turn| core.depart(session, how, turn));
    }

    fn wake(&self) {
        self.live.lock().appointment = None;
        self.turn(|core, turn| core.pass_time(turn));
    }

    fn dismiss(&self, fault: &Fault) {
        self.turn(|core, turn| core.dismiss(fault, turn));
    }

    fn stop(&self, fault: Fault) {
        self.turn(|core, turn| core.stop(fault, turn));
    }
}

impl<K: Wire> Listener for Host<K> {
    fn durable(&self, mark: Mark) {
        let mut out = Vec::new();
        self.live.lock().core.release(mark, &mut out);
        deliver(out);
    }

    fn failed(&self, fault: &Fault) {
        self.stop(fault.clone());
    }
}
