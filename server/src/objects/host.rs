//! The host of one live object: a lock, the clock, the journal and the way back to callers around a [`Core`].

use super::{
    agenda::Agenda,
    core::{Answer, Asked, CallId, Core, Fence, Standing, Told, Turn},
    kind::{Departure, Holding, Moment, SessionId, Test, Wire},
    waits::{Contended, Directory, refuse_cycle},
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
use parking_lot::{Mutex, MutexGuard};
use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

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
    /// Who the sessions are.
    pub directory: Directory,
    /// Objects on which somebody waits for what others hold.
    pub contended: Contended,
}

impl World {
    /// What all hosts of a broker share.
    pub fn new(clock: Clock, agenda: Arc<Agenda>, shard: Option<Arc<Shard>>, payload_bytes_max: usize) -> World {
        World { clock, agenda, shard, payload_bytes_max, directory: Directory::default(), contended: Contended::default() }
    }
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
    fn call(&self, ticket: Ticket, command: Command, wait: Wait, fence: Option<Fence>);
    /// Where the token can be read under which it is held exclusively; `None`: it is of no such kind.
    fn exclusive(&self) -> Option<Arc<AtomicU64>>;
    /// Takes it for a step that concerns several objects. They are entered in the order of their epochs, and nothing is answered
    /// before [`Entered::leave`].
    fn enter(&self, now: Moment) -> Box<dyn Entered + '_>;
    /// Takes a waiting call back; false: it does not wait here.
    fn cancel(&self, call: CallId) -> bool;
    /// A reply did not reach its caller.
    fn unheard(&self, caller: SessionId, reply: Reply);
    /// What a session has of it, in words: `2 items`.
    fn held(&self, session: SessionId) -> Option<String>;
    /// A session ended, and so it came to that.
    fn depart(&self, session: SessionId, how: Departure, why: &str);
    /// Time has passed.
    fn wake(&self);
    /// Everybody who waits gets this fault.
    fn dismiss(&self, fault: &Fault);
    /// The object is deleted: everybody who waits, and whoever still comes, gets this fault. Says the largest token that it ever
    /// gave or will give; what is given back besides tells those who wait, when no lock is held any more.
    fn stop(&self, fault: Fault) -> (u64, Box<dyn FnOnce()>);
}

/// An object that stands still while several are looked at or changed in one step.
pub trait Entered {
    /// Who waits, in the order of arrival, and who has what.
    fn stands(&self) -> (Vec<Standing>, Vec<Holding>);
    /// The place of a call in the order of arrival, if it waits here.
    fn arrival(&self, call: CallId) -> Option<u64>;
    /// Answers a waiting call with this fault.
    fn refuse(&mut self, call: CallId, fault: Fault);
    /// Why it serves nobody any more; `None`: it does.
    fn stopped(&self) -> Option<Fault>;
    /// Whether a session waits here.
    fn has_waiting(&self, session: SessionId) -> bool;
    /// Whether a test holds; `None`: it is none for this kind.
    fn test(&self, caller: SessionId, test: &Test) -> Option<bool>;
    /// Decides steps, and keeps the changes until [`Entered::evolve`]. The second value is what has to be recorded.
    fn decide(&mut self, caller: SessionId, steps: Vec<Command>) -> Result<(Vec<Reply>, Vec<Vec<u8>>), Fault>;
    /// The mark on which every answer about the object rests.
    fn position(&self) -> Mark;
    /// Takes the changes of `decide`, recorded up to this mark.
    fn evolve(&mut self, mark: Mark);
    /// Lets this answer go when the object's last change is durable.
    fn answer(&mut self, ticket: Ticket, result: Result<Reply, Fault>);
    /// Lets go of the object. What is given back delivers the answers that may leave: when no object is entered any more.
    #[must_use]
    fn leave<'s>(self: Box<Self>) -> Box<dyn FnOnce() + 's>
    where
        Self: 's;
    /// Who is told of what becomes durable.
    fn listener(&self) -> Weak<dyn Listener>;
}

/// One live object.
pub struct Host<K: Wire> {
    this: Weak<Host<K>>,
    name: Name,
    epoch: u64,
    world: Arc<World>,
    /// The token under which it is held exclusively; 0: none. Written under the lock below.
    exclusive: Arc<AtomicU64>,
    /// Short sections, never across an await.
    live: Mutex<Live<K>>,
}

struct Live<K: Wire> {
    core: Core<K, Ticket>,
    /// The earliest appointment in the agenda that is still to come.
    appointment: Option<Moment>,
    /// Whether it is entered among the contended ones.
    is_contended: bool,
}

/// An entered object: its lock, and what leaves when it is given back.
struct Stay<'a, K: Wire> {
    host: &'a Host<K>,
    live: MutexGuard<'a, Live<K>>,
    now: Moment,
    decided: Vec<K::Change>,
    out: Vec<Answer<K, Ticket>>,
}

impl<K: Wire> Host<K> {
    /// A host for a new object.
    pub fn start(name: Name, epoch: u64, kind: K, world: Arc<World>) -> Arc<Host<K>> {
        Arc::new_cyclic(|this| Host {
            this: this.clone(),
            name,
            epoch,
            world,
            exclusive: Arc::new(AtomicU64::new(kind.exclusive().unwrap_or(0))),
            live: Mutex::new(Live { core: Core::new(kind), appointment: None, is_contended: false }),
        })
    }

    /// A command for this object, validated.
    fn command(&self, command: Command) -> Result<K::Command, Fault> {
        if command.kind() != K::NAME {
            let (name, expected, actual) = (self.name.to_string(), command.kind().into(), K::NAME.into());
            return Err(Fault::Mismatch { name, what: "kind".into(), expected, actual });
        }
        K::command(command, self.world.payload_bytes_max)
    }

    /// Works on the core under the lock, and delivers what may leave after it.
    fn turn<R>(&self, work: impl FnOnce(&mut Core<K, Ticket>, &mut Turn<'_, K, Ticket>) -> R) -> R {
        let mut out = Vec::new();
        let mut live = self.live.lock();
        let result = self.work(&mut live, self.world.clock.now(), &mut out, work);
        drop(live);
        self.deliver(out);
        result
    }

    fn work<R>(
        &self,
        live: &mut Live<K>,
        now: Moment,
        out: &mut Vec<Answer<K, Ticket>>,
        work: impl FnOnce(&mut Core<K, Ticket>, &mut Turn<'_, K, Ticket>) -> R,
    ) -> R {
        let mut journal = |change: &K::Change| match &self.world.shard {
            Some(shard) => {
                let listener: Weak<dyn Listener> = self.this.clone();
                shard.record(self.epoch, K::encode(change), &listener)
            }
            None => Mark(0),
        };
        let mut turn = Turn { now, journal: &mut journal, out };
        let result = work(&mut live.core, &mut turn);
        self.make_appointment(live);
        if let Some(token) = live.core.kind().exclusive().filter(|_| !live.core.is_stopped()) {
            self.exclusive.store(token, Ordering::SeqCst);
        }
        if K::IS_HELD && live.is_contended != (live.core.waiting() > 0) {
            live.is_contended = !live.is_contended;
            self.world.contended.note(self.epoch, live.is_contended.then(|| self.this.clone() as Weak<dyn Hosted>));
        }
        result
    }

    /// Must not be called with any lock held.
    fn deliver(&self, answers: Vec<Answer<K, Ticket>>) {
        for Answer { ticket, result } in answers {
            let result = match result {
                Ok(Told::Own(reply)) => Ok(K::reply(reply)),
                Ok(Told::Joint(reply)) => Ok(reply),
                Err(fault) => Err(self.world.directory.dressed(fault)),
            };
            ticket.answer(result);
        }
    }

    fn make_appointment(&self, live: &mut Live<K>) {
        if let Some(wake) = live.core.next_wake().filter(|_| !live.core.is_stopped())
            && live.appointment.is_none_or(|appointment| wake < appointment)
        {
            let later = live.appointment.replace(wake);
            self.world.agenda.add(wake, self.epoch, self.this.clone(), later);
        }
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

    fn call(&self, ticket: Ticket, command: Command, wait: Wait, fence: Option<Fence>) {
        let command = match self.command(command) {
            Ok(command) => command,
            Err(fault) => return ticket.answer(Err(fault)),
        };
        let (call, asked) = (ticket.call, Asked { command, fence });
        let must_check = self.turn(|core, turn| {
            // Under the lock: a session sets its end first and departs from its hosts after, so either this is seen here, or
            // what the call is about to hold is given back by that departure.
            if ticket.inbox.has_ended() {
                let result = Err(Fault::SessionEnded { reason: "before the call was executed".into() });
                turn.out.push(Answer { ticket, result });
            } else {
                core.call(call, asked, wait, ticket, turn);
            }
            K::IS_HELD && core.kind().refuses_deadlock() && core.arrival(call).is_some()
        });
        if must_check {
            refuse_cycle(&self.world, self.epoch, call);
        }
    }

    fn exclusive(&self) -> Option<Arc<AtomicU64>> {
        self.live.lock().core.kind().exclusive().map(|_| self.exclusive.clone())
    }

    fn enter(&self, now: Moment) -> Box<dyn Entered + '_> {
        let (mut live, mut out) = (self.live.lock(), Vec::new());
        self.work(&mut live, now, &mut out, |core, turn| core.pass_time(turn));
        Box::new(Stay { host: self, live, now, decided: Vec::new(), out })
    }

    fn cancel(&self, call: CallId) -> bool {
        self.turn(|core, turn| core.cancel(call, turn))
    }

    fn unheard(&self, caller: SessionId, reply: Reply) {
        if let Some(reply) = K::holding(reply) {
            self.turn(|core, turn| core.unheard(caller, &reply, turn));
        }
    }

    fn held(&self, session: SessionId) -> Option<String> {
        let holdings = self.live.lock().core.kind().holdings();
        let held: Vec<String> = holdings.into_iter().filter(|held| held.session == session).map(|held| held.what).collect();
        (!held.is_empty()).then(|| held.join(", "))
    }

    fn depart(&self, session: SessionId, how: Departure, why: &str) {
        self.turn(|core, turn| core.depart(session, how, why, turn));
    }

    fn wake(&self) {
        self.live.lock().appointment = None;
        self.turn(|core, turn| core.pass_time(turn));
    }

    fn dismiss(&self, fault: &Fault) {
        self.turn(|core, turn| core.dismiss(fault, turn));
    }

    fn stop(&self, fault: Fault) -> (u64, Box<dyn FnOnce()>) {
        let (mut live, mut out) = (self.live.lock(), Vec::new());
        self.work(&mut live, self.world.clock.now(), &mut out, |core, turn| core.stop(fault, turn));
        // What it guarded is guarded no more.
        self.exclusive.store(0, Ordering::SeqCst);
        let last_token = live.core.kind().last_token();
        if let Some(appointment) = live.appointment.take() {
            self.world.agenda.forget(appointment, self.epoch);
        }
        drop(live);
        let host = self.this.upgrade().expect("whoever calls this has it");
        (last_token, Box::new(move || host.deliver(out)))
    }
}

impl<K: Wire> Stay<'_, K> {
    fn work<R>(&mut self, work: impl FnOnce(&mut Core<K, Ticket>, &mut Turn<'_, K, Ticket>) -> R) -> R {
        self.host.work(&mut self.live, self.now, &mut self.out, work)
    }
}

impl<K: Wire> Entered for Stay<'_, K> {
    fn stands(&self) -> (Vec<Standing>, Vec<Holding>) {
        (self.live.core.standing(), self.live.core.kind().holdings())
    }

    fn arrival(&self, call: CallId) -> Option<u64> {
        self.live.core.arrival(call)
    }

    fn refuse(&mut self, call: CallId, fault: Fault) {
        self.work(|core, turn| core.refuse(call, fault, turn));
    }

    fn stopped(&self) -> Option<Fault> {
        self.live.core.stopped().cloned()
    }

    fn has_waiting(&self, session: SessionId) -> bool {
        self.live.core.has_waiting(session)
    }

    fn test(&self, caller: SessionId, test: &Test) -> Option<bool> {
        self.live.core.kind().test(caller, test)
    }

    fn decide(&mut self, caller: SessionId, steps: Vec<Command>) -> Result<(Vec<Reply>, Vec<Vec<u8>>), Fault> {
        let commands = steps.into_iter().map(|step| self.host.command(step)).collect::<Result<Vec<_>, _>>()?;
        if !commands.iter().all(K::joins) {
            let problem = format!("this verb of {} cannot be a step: it waits, or gives something to hold", K::NAME);
            return Err(Fault::bad_argument("then, otherwise", problem));
        }
        let (changes, replies) = self.live.core.decide_all(caller, &commands, self.now)?;
        let records = match &self.host.world.shard {
            Some(_) => changes.iter().map(K::encode).collect(),
            None => Vec::new(),
        };
        self.decided = changes;
        Ok((replies.into_iter().map(K::reply).collect(), records))
    }

    fn position(&self) -> Mark {
        self.live.core.position()
    }

    fn evolve(&mut self, mark: Mark) {
        let changes = std::mem::take(&mut self.decided);
        if !changes.is_empty() {
            self.work(|core, turn| core.evolve_all(changes, mark, turn));
        }
    }

    fn answer(&mut self, ticket: Ticket, result: Result<Reply, Fault>) {
        self.work(|core, turn| core.answer_jointly(ticket, result, turn));
    }

    fn leave<'s>(self: Box<Self>) -> Box<dyn FnOnce() + 's>
    where
        Self: 's,
    {
        let Stay { host, live, out, .. } = *self;
        drop(live);
        Box::new(move || host.deliver(out))
    }

    fn listener(&self) -> Weak<dyn Listener> {
        self.host.this.clone()
    }
}

impl<K: Wire> Listener for Host<K> {
    fn durable(&self, mark: Mark) {
        let mut out = Vec::new();
        self.live.lock().core.release(mark, &mut out);
        self.deliver(out);
    }

    fn failed(&self, fault: &Fault) {
        let (_, deliver) = self.stop(fault.clone());
        deliver();
    }
}
