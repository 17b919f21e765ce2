//! Several steps on several objects, of which all happen or none.
//!
//! Deciding does not touch: all objects are entered in the order of their epochs, all steps are decided, and only when none was
//! refused everything is recorded at once and evolves.

#[cfg(test)]
mod tests;

use super::{
    core::Fence,
    host::{Entered, Hosted, Ticket, World},
    kind::{Comparison, SessionId, Test},
    registry::Registry,
    waits,
};
use crate::engine::Mark;
use bursar_proto::{
    Command, Fault, Targeted,
    v1::{ObjectRef, answer::Reply, txn as pb},
};
use std::{collections::BTreeMap, sync::Arc};

/// Tests and steps of one transaction: all its objects stand still while it is executed.
const STEPS_MAX: usize = 1000;

/// Of all replies together. Steps that read could otherwise ask for the same large values a thousand times, and get more than a
/// client takes in one answer.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// A transaction that has found its objects.
pub struct Transaction {
    /// In the order of their epochs.
    hosts: Vec<Arc<dyn Hosted>>,
    when: Vec<(u64, Test)>,
    then: Vec<Step>,
    otherwise: Vec<Step>,
}

struct Step {
    epoch: u64,
    command: Command,
    fence: Option<Fence>,
}

impl Transaction {
    /// Finds the objects, and checks everything that can be checked without them.
    pub fn prepare(registry: &Registry, request: pb::ExecuteRequest) -> Result<Transaction, Fault> {
        let pb::ExecuteRequest { when, then, otherwise } = request;
        let count = when.len() + then.len() + otherwise.len();
        if count > STEPS_MAX {
            return Err(Fault::LimitReached { what: "tests and steps of a transaction".into(), limit: STEPS_MAX as u64 });
        }
        let mut hosts = BTreeMap::new();
        let mut find = |object: Option<&ObjectRef>| {
            let host = registry.resolve(object)?;
            let epoch = host.epoch();
            hosts.entry(epoch).or_insert(host);
            Ok::<u64, Fault>(epoch)
        };
        let when =
            when.into_iter().map(|test| Ok((find(test.object.as_ref())?, what_to_test(test)?))).collect::<Result<_, Fault>>()?;
        let mut prepare = |steps: Vec<pb::Step>| {
            steps.into_iter().map(|step| prepared(registry, step, &mut find)).collect::<Result<Vec<_>, _>>()
        };
        let (then, otherwise) = (prepare(then)?, prepare(otherwise)?);
        Ok(Transaction { hosts: hosts.into_values().collect(), when, then, otherwise })
    }

    /// The objects that it concerns.
    pub fn hosts(&self) -> &[Arc<dyn Hosted>] {
        &self.hosts
    }

    /// Executes it; the answer leaves when everything it rests on is durable.
    pub fn execute(self, world: &World, ticket: Ticket) {
        let Transaction { hosts, when, then, otherwise } = self;
        let now = world.clock.now();
        let mut entered: Vec<_> = hosts.iter().map(|host| host.enter(now)).collect();
        let mut stage = Stage { world, hosts: &hosts, entered: &mut entered };
        let result = if ticket.inbox.has_ended() {
            // As for a single call: what is about to be held would be given back by nobody.
            Err(Fault::SessionEnded { reason: "before the call was executed".into() })
        } else {
            stage.execute(ticket.call.session, &when, then, otherwise)
        };
        // The one whose last change is the youngest hears when everything that the answer rests on is durable.
        match entered.iter_mut().max_by_key(|entered| entered.position()) {
            Some(last) => last.answer(ticket, result),
            // Nothing was tested and nothing done.
            None => ticket.answer(result),
        }
        waits::leave(entered);
    }
}

fn prepared(
    registry: &Registry,
    step: pb::Step,
    find: &mut impl FnMut(Option<&ObjectRef>) -> Result<u64, Fault>,
) -> Result<Step, Fault> {
    use pb::step::Command as Inner;
    let empty = || Fault::bad_argument("then, otherwise", "expected a step with a verb of queue, kv, counter, lock or event");
    let command = match step.command.ok_or_else(empty)? {
        Inner::Queue(command) => command.verb.map(Command::Queue),
        Inner::Kv(command) => command.verb.map(Command::Kv),
        Inner::Counter(command) => command.verb.map(Command::Counter),
        Inner::Lock(command) => command.verb.map(Command::Lock),
        Inner::Event(command) => command.verb.map(Command::Event),
    };
    let command = command.ok_or_else(empty)?;
    if command.wait_ms() != 0 {
        return Err(Fault::bad_argument("wait_ms", "expected 0 in a transaction: its steps do not wait"));
    }
    let fence = registry.fence(command.fence())?;
    Ok(Step { epoch: find(command.object())?, command, fence })
}

fn what_to_test(test: pb::Test) -> Result<Test, Fault> {
    use pb::test::Test as Kept;
    let bad = |problem: &str| Fault::bad_argument("when", problem);
    Ok(match test.test.ok_or_else(|| bad("expected something to test"))? {
        Kept::KeyRevision(pb::KeyRevision { key, revision }) => Test::KeyRevision { key, revision },
        Kept::KeyPresent(pb::KeyPresent { key, present }) => Test::KeyPresent { key, present },
        Kept::KeyValue(pb::KeyValue { key, value }) => {
            let value = value.ok_or_else(|| bad("expected the value that the key is to have"))?;
            Test::KeyValue { key, data: value.data, codec: value.codec }
        }
        Kept::TokenHeld(token) => Test::TokenHeld(token),
        Kept::Number(pb::Number { comparison, value }) => {
            let comparison = pb::Comparison::try_from(comparison).map_err(|_| bad("expected a comparison from 0 to 5"))?;
            Test::Number { comparison: compared(comparison), value }
        }
        Kept::IsSet(is_set) => Test::IsSet(is_set),
        Kept::LeaseHeld(lease) => Test::LeaseHeld(lease),
        Kept::IsEmpty(is_empty) => Test::IsEmpty(is_empty),
    })
}

fn compared(comparison: pb::Comparison) -> Comparison {
    match comparison {
        pb::Comparison::Equal => Comparison::Equal,
        pb::Comparison::NotEqual => Comparison::NotEqual,
        pb::Comparison::Less => Comparison::Less,
        pb::Comparison::LessOrEqual => Comparison::LessOrEqual,
        pb::Comparison::Greater => Comparison::Greater,
        pb::Comparison::GreaterOrEqual => Comparison::GreaterOrEqual,
    }
}

/// The entered objects, in the order of their epochs.
struct Stage<'a, 'b> {
    world: &'a World,
    hosts: &'b [Arc<dyn Hosted>],
    entered: &'a mut Vec<Box<dyn Entered + 'b>>,
}

impl Stage<'_, '_> {
    fn place(&self, epoch: u64) -> usize {
        self.hosts.binary_search_by_key(&epoch, |host| host.epoch()).expect("every object that is named was entered")
    }

    fn execute(
        &mut self,
        caller: SessionId,
        when: &[(u64, Test)],
        then: Vec<Step>,
        otherwise: Vec<Step>,
    ) -> Result<Reply, Fault> {
        // Deleted since it was found: what it says holds no more.
        self.entered.iter().find_map(|entered| entered.stopped()).map_or(Ok(()), Err)?;
        let mut held = true;
        for (epoch, test) in when {
            let place = self.place(*epoch);
            let holds = self.entered[place].test(caller, test);
            let kind = self.hosts[place].kind();
            held &= holds.ok_or_else(|| Fault::bad_argument("when", format!("{} cannot be asked of a {kind}", test.what())))?;
        }
        let steps = if held { then } else { otherwise };
        steps.iter().filter_map(|step| step.fence.as_ref()).try_for_each(Fence::check)?;
        let replies = self.decide(caller, steps)?;
        let replies = replies.into_iter().map(|reply| pb::StepReply { reply: Some(reply) }).collect();
        let reply = pb::ExecuteReply { held, replies };
        Ok(Reply::Txn(pb::Reply { verb: Some(pb::reply::Verb::Execute(reply)) }))
    }

    /// Decides all steps, object by object; then records and evolves. The replies are in the order of the steps.
    fn decide(&mut self, caller: SessionId, steps: Vec<Step>) -> Result<Vec<pb::step_reply::Reply>, Fault> {
        let mut by_place: BTreeMap<usize, (Vec<usize>, Vec<Command>)> = BTreeMap::new();
        for (at, step) in steps.into_iter().enumerate() {
            let (order, commands) = by_place.entry(self.place(step.epoch)).or_default();
            order.push(at);
            commands.push(step.command);
        }
        let (mut replies, mut records, mut bytes) = (BTreeMap::new(), Vec::new(), 0);
        for (place, (order, commands)) in &mut by_place {
            let (own, changes) = self.entered[*place].decide(caller, std::mem::take(commands))?;
            for (at, reply) in order.iter().zip(own) {
                let reply = of_step(reply);
                bytes += reply.encoded_len();
                replies.insert(*at, reply);
            }
            if bytes > REPLY_BYTES_MAX {
                let (what, size, limit) = ("the answer of the transaction".into(), bytes as u64, REPLY_BYTES_MAX as u64);
                return Err(Fault::TooLarge { what, size, limit });
            }
            let (epoch, listener) = (self.hosts[*place].epoch(), self.entered[*place].listener());
            records.extend(changes.into_iter().map(|change| (epoch, change, listener.clone())));
        }
        let mark = match &self.world.shard {
            Some(shard) if !records.is_empty() => shard.record_all(records),
            _ => Mark(0),
        };
        for place in by_place.keys() {
            self.entered[*place].evolve(mark);
        }
        Ok(replies.into_values().collect())
    }
}

fn of_step(reply: Reply) -> pb::step_reply::Reply {
    use pb::step_reply::Reply as Inner;
    match reply {
        Reply::Queue(reply) => Inner::Queue(reply),
        Reply::Kv(reply) => Inner::Kv(reply),
        Reply::Counter(reply) => Inner::Counter(reply),
        Reply::Lock(reply) => Inner::Lock(reply),
        Reply::Event(reply) => Inner::Event(reply),
        _ => unreachable!("a step is for one of these kinds, and a kind answers as itself"),
    }
}
