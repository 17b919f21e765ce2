//! For tests that need several objects: a registry, and everything that was answered.

use super::{
    agenda::Agenda,
    core::CallId,
    host::{Hosted, Inbox, Ticket, World},
    kind::{Moment, SessionId},
    registry::Registry,
    transaction::Transaction,
};
use crate::{clock::Clock, engine::shard::Shard};
use bursar_proto::{
    Command, Fault, Targeted, Wait,
    v1::{ObjectRef, answer::Reply, lock, registry, registry::options::Kind, txn},
};
use parking_lot::Mutex;
use std::sync::Arc;

/// Answers by the numbers of their calls, in the order in which they came.
#[derive(Default)]
struct Answers(Mutex<Vec<(u64, Result<Reply, Fault>)>>);

impl Inbox for Answers {
    fn deliver(&self, sequence: u64, result: Result<Reply, Fault>) {
        self.0.lock().push((sequence, result));
    }

    fn has_ended(&self) -> bool {
        false
    }
}

/// Some objects. The number of a call is chosen by the test.
pub struct Several {
    /// Their names.
    pub registry: Registry,
    answers: Arc<Answers>,
}

/// Whichever object has this name.
pub fn object(name: &str) -> Option<ObjectRef> {
    Some(ObjectRef { name: name.into(), epoch: 0 })
}

/// A call for a lock.
pub fn acquire(name: &str, owner: u64) -> Command {
    Command::Lock(lock::command::Verb::Acquire(lock::AcquireRequest { object: object(name), wait_ms: -1, owner }))
}

impl Several {
    /// None yet.
    pub fn new(shard: Option<Arc<Shard>>) -> Several {
        let world = World::new(Clock::manual(Moment(1)), Arc::new(Agenda::default()), shard, 1 << 20);
        Several { registry: Registry::new(Arc::new(world), 100), answers: Arc::default() }
    }

    /// Makes an object.
    pub fn create(&self, name: &str, kind: Kind) -> Arc<dyn Hosted> {
        let options = Some(registry::Options { kind: Some(kind) });
        self.registry.open(SessionId(9), registry::OpenRequest { name: name.into(), options, ..Default::default() }).unwrap();
        self.registry.resolve(object(name).as_ref()).unwrap()
    }

    /// Makes a call, which waits as it says.
    pub fn call(&self, session: u64, number: u64, command: Command) {
        let host = self.registry.resolve(command.object()).unwrap();
        let wait = Wait::from_ms(command.wait_ms()).unwrap();
        host.call(self.ticket(session, number), command, wait, None);
    }

    /// A transaction that has found its objects.
    pub fn prepare(&self, when: Vec<txn::Test>, then: Vec<txn::step::Command>) -> Transaction {
        let then = then.into_iter().map(|command| txn::Step { command: Some(command) }).collect();
        Transaction::prepare(&self.registry, txn::ExecuteRequest { when, then, otherwise: vec![] }).unwrap()
    }

    /// Executes it.
    pub fn execute(&self, transaction: Transaction, session: u64, number: u64) {
        transaction.execute(self.registry.world(), self.ticket(session, number));
    }

    fn ticket(&self, session: u64, number: u64) -> Ticket {
        Ticket { call: CallId { session: SessionId(session), sequence: number }, inbox: self.answers.clone() }
    }

    /// What this call was answered; `None`: nothing yet.
    pub fn answer(&self, number: u64) -> Option<Result<Reply, Fault>> {
        self.answers.0.lock().iter().find(|(answered, _)| *answered == number).map(|(_, result)| result.clone())
    }

    /// The token that this call was granted.
    pub fn token(&self, number: u64) -> u64 {
        match self.answer(number) {
            Some(Ok(Reply::Lock(lock::Reply { verb: Some(lock::reply::Verb::Acquire(reply)) }))) => reply.token,
            other => panic!("expected a grant, got {other:?}"),
        }
    }
}
