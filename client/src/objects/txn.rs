//! Transactions: several steps on several objects, of which all happen or none.
//!
//! ```text
//!   all of `when` hold? ──yes──► the steps of `then`, as one step of the broker
//!                       └──no──► the steps of `otherwise`
//!   a step is refused ──► its fault, and nothing at all has happened
//! ```
//! Tests and steps are made by the handles: here for stores and queues, in `txn/others.rs` for the rest.

mod others;
mod steps;

pub use others::Comparison;
pub use steps::Key;

use super::{Handle, Settled, check_size};
use crate::{Error, Fault, Fence, Manager, Payload, Raw, Result, call, call::Verb};
use bursar_proto::v1::{self, counter, event, kv, queue, txn as wire};
use std::{ops::Index, sync::Arc};

/// Several steps on several objects, of which all happen or none: an example says more than a list of verbs.
///
/// A worker takes an item, and then writes its result under the item's id, puts what follows from it and finishes the item. If it dies
/// before, nothing of that has happened, and the next worker does it all; nothing is ever done twice:
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::{Kv, Manager, Queue};
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let pages: Queue<String> = manager.queue("pages").open_or_create().await?;
/// let titles: Kv<String> = manager.kv("titles").open_or_create().await?;
/// pages.put("/index".to_owned()).await?;
///
/// let page = pages.get().await?;
/// let id = page.id().to_string();
/// let reply = manager
///     .txn()
///     .when(titles.key(&id).is_absent())
///     .then(titles.step_put(&id, "Welcome".to_owned()))
///     .then(pages.step_put_many(["/about", "/news"].map(String::from)))
///     .then(page.step_done())
///     .otherwise(page.step_park("it has a title already"))
///     .execute()
///     .await?;
/// assert!(reply.held);
/// assert_eq!(reply[1].ids().len(), 2);
/// assert_eq!((titles.get(&id).await?.as_deref(), pages.unfinished().await?), (Some("Welcome"), 2));
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
///
/// Steps do not wait: a put into a full queue is refused with `Full`, and so is the whole transaction. A lease or a guard whose step
/// was executed is settled, and dropping it does nothing; otherwise it is held on. Steps on one object see the changes of those before
/// them, except that a queue's puts are decided before its settlements. At most 1000 tests and steps go into one transaction, and
/// about as many bytes as into one payload.
#[derive(Debug)]
#[must_use = "nothing happens before execute"]
pub struct Txn {
    manager: Manager,
    when: Vec<Test>,
    then: Vec<Step>,
    otherwise: Vec<Step>,
}

/// What must hold, for a [`Txn`]. Handles make it: [`Kv::key`](crate::Kv::key), [`Lease::test_held`](crate::Lease::test_held),
/// [`Test::held`], ...
#[derive(Debug)]
#[must_use = "a test does nothing by itself: give it to `Txn::when`"]
pub struct Test {
    /// None: it is for whatever has the name.
    handle: Option<Handle>,
    /// An error waits until the transaction is executed.
    test: Result<wire::Test>,
}

/// What is done, by a [`Txn`]. Handles make it: [`Kv::step_put`](crate::Kv::step_put), [`Queue::step_put`](crate::Queue::step_put),
/// [`Lease::step_done`](crate::Lease::step_done), ...
#[derive(Debug)]
#[must_use = "a step does nothing by itself: give it to `Txn::then` or `Txn::otherwise`"]
pub struct Step {
    handle: Handle,
    /// An error waits until the transaction is executed.
    command: Result<wire::step::Command>,
    /// What is settled when it was executed.
    settles: Option<Settled>,
}

impl Manager {
    /// Begins a transaction; nothing happens before its `execute`.
    pub fn txn(&self) -> Txn {
        Txn { manager: self.clone(), when: Vec::new(), then: Vec::new(), otherwise: Vec::new() }
    }
}

impl Txn {
    /// One more test. The steps of `then` are executed if all tests hold, also if there are none.
    pub fn when(mut self, test: Test) -> Txn {
        self.when.push(test);
        self
    }

    /// One more step for the case that all tests hold.
    pub fn then(mut self, step: Step) -> Txn {
        self.then.push(step);
        self
    }

    /// One more step for the case that a test does not hold.
    pub fn otherwise(mut self, step: Step) -> Txn {
        self.otherwise.push(step);
        self
    }

    /// Does it, as one step. That a test does not hold is no error: [`TxnReply::held`] says it.
    ///
    /// Errors: whichever fault a step is refused with, and then nothing has happened; [`Error::Codec`], when a value cannot be encoded;
    /// `BadArgument`, when a handle is of another session; `TooLarge`. Dropping the future takes the transaction back, unless it is
    /// done already.
    pub async fn execute(self) -> Result<TxnReply> {
        let Txn { manager, when, then, otherwise } = self;
        let when = when.into_iter().map(|test| test.into_wire(&manager)).collect::<Result<_>>()?;
        let (then, if_held) = split(&manager, then)?;
        let (otherwise, if_not) = split(&manager, otherwise)?;
        let request = wire::ExecuteRequest { when, then, otherwise };
        check_size(&manager, "", &request)?;
        let wire::ExecuteReply { held, replies } = call::call(manager.session(), request).await?;
        let executed = if held { if_held } else { if_not };
        executed.iter().for_each(Waiting::settle);
        if replies.len() != executed.len() {
            return Err(Error::protocol(format!("{EXECUTE}: {} replies for {} steps", replies.len(), executed.len())));
        }
        let replies = executed.into_iter().zip(replies);
        let replies = replies.map(|(step, wire::StepReply { reply })| StepReply { handle: step.handle, reply }).collect();
        Ok(TxnReply { held, replies })
    }
}

const EXECUTE: &str = wire::ExecuteRequest::CALL;

/// What is left of a step whose command is on its way.
struct Waiting {
    handle: Handle,
    settles: Option<Settled>,
}

impl Waiting {
    fn settle(&self) {
        self.settles.iter().for_each(Settled::set);
    }
}

fn split(manager: &Manager, steps: Vec<Step>) -> Result<(Vec<wire::Step>, Vec<Waiting>)> {
    let apart = |Step { handle, command, settles }| {
        check_session(manager, &handle)?;
        Ok((wire::Step { command: Some(command?) }, Waiting { handle, settles }))
    };
    steps.into_iter().map(apart).collect()
}

/// A lease is known to its session only, and an epoch to its broker.
fn check_session(manager: &Manager, handle: &Handle) -> Result<()> {
    if Arc::ptr_eq(manager.session(), handle.manager().session()) {
        return Ok(());
    }
    let problem = "expected handles of the session that makes the transaction, got one of another session";
    Err(Error::refused(Fault::bad_argument("txn", problem), EXECUTE, handle.name()))
}

impl Test {
    /// The fence's lock is held under its token, by whomever.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::{Kv, Lock, txn::Test};
    ///
    /// let lock: Lock = manager.lock("leader").create().await?;
    /// let state: Kv<u32> = manager.kv("state").create().await?;
    /// let guard = lock.acquire().await?;
    /// let handing_over = manager.txn().when(Test::held(&guard.fence())).then(state.step_incr("terms", 1)).then(guard.step_release());
    /// assert!(handing_over.execute().await?.held);
    /// assert!(!manager.txn().when(Test::held(&guard.fence())).execute().await?.held);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn held(fence: &Fence) -> Test {
        let v1::Fence { lock, token } = fence.to_wire();
        Test { handle: None, test: Ok(wire::Test { object: lock, test: Some(wire::test::Test::TokenHeld(token)) }) }
    }

    fn new(handle: &Handle, test: wire::test::Test) -> Test {
        Test::try_new(handle, Ok(test))
    }

    fn try_new(handle: &Handle, test: Result<wire::test::Test>) -> Test {
        let in_full = |test| wire::Test { object: handle.object(), test: Some(test) };
        Test { handle: Some(handle.clone()), test: test.map(in_full) }
    }

    fn into_wire(self, manager: &Manager) -> Result<wire::Test> {
        if let Some(handle) = &self.handle {
            check_session(manager, handle)?;
        }
        self.test
    }
}

impl Step {
    fn new(handle: &Handle, command: wire::step::Command) -> Step {
        Step::try_new(handle, Ok(command))
    }

    fn try_new(handle: &Handle, command: Result<wire::step::Command>) -> Step {
        Step { handle: handle.clone(), command, settles: None }
    }

    /// What is held is settled by this step.
    fn settling(self, settled: &Settled) -> Step {
        Step { settles: Some(settled.clone()), ..self }
    }
}

/// What a transaction did. `reply[0]` is the reply to the first step that was executed, and so on.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let stock: bursar::Kv<i64> = manager.kv("stock").create().await?;
/// stock.put("apples", 3).await?;
/// let swap = manager.txn().when(stock.key("apples").is(3)).then(stock.step_incr("apples", -1)).then(stock.step_get("pears"));
/// let reply = swap.execute().await?;
/// assert!(reply.held);
/// assert_eq!((reply[0].number(), reply[1].value::<i64>()?), (Some(2), None));
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct TxnReply {
    /// Whether all tests held, so that the steps of `then` were executed; otherwise those of `otherwise` were.
    pub held: bool,
    /// The replies of the steps that were executed, in their order.
    pub replies: Vec<StepReply>,
}

/// By position. Panics where no such step was executed: look at [`TxnReply::held`] first.
impl Index<usize> for TxnReply {
    type Output = StepReply;

    fn index(&self, step: usize) -> &StepReply {
        &self.replies[step]
    }
}

/// What a step gave. Each verb gives some of what can be asked for here, and nothing of the rest.
#[derive(Debug)]
pub struct StepReply {
    handle: Handle,
    reply: Option<wire::step_reply::Reply>,
}

impl StepReply {
    /// The ids of a queue's put; of other steps none.
    pub fn ids(&self) -> &[u64] {
        match self.queue() {
            Some(queue::reply::Verb::Put(queue::PutReply { ids, duplicates: _ })) => ids,
            _ => &[],
        }
    }

    /// The sum of an incr or add; the number that a counter's get and compare-and-set show; the one that its set replaced.
    pub fn number(&self) -> Option<i64> {
        use counter::reply::Verb;
        if let Some(kv::reply::Verb::Incr(kv::IncrReply { value, revision: _ })) = self.kv() {
            return Some(*value);
        }
        match self.counter()? {
            Verb::Get(counter::GetReply { value })
            | Verb::Add(counter::AddReply { value })
            | Verb::CompareAndSet(counter::CompareAndSetReply { swapped: _, value }) => Some(*value),
            Verb::Set(counter::SetReply { previous }) => Some(*previous),
        }
    }

    /// Whether a store contains the key, or its setdefault or delete changed something; whether an event is set, or its set or clear
    /// changed something; whether a counter's compare-and-set happened.
    pub fn flag(&self) -> Option<bool> {
        match self.reply.as_ref()? {
            wire::step_reply::Reply::Kv(kv::Reply { verb }) => match verb.as_ref()? {
                kv::reply::Verb::Contains(kv::ContainsReply { contains }) => Some(*contains),
                kv::reply::Verb::SetDefault(kv::SetDefaultReply { entry: _, created }) => Some(*created),
                kv::reply::Verb::Delete(kv::DeleteReply { previous, revision: _ }) => Some(previous.is_some()),
                _ => None,
            },
            wire::step_reply::Reply::Event(event::Reply { verb }) => match verb.as_ref()? {
                event::reply::Verb::Set(event::SetReply { changed, version: _ })
                | event::reply::Verb::Clear(event::ClearReply { changed, version: _ }) => Some(*changed),
                event::reply::Verb::Get(event::GetReply { is_set, version: _ }) => Some(*is_set),
                event::reply::Verb::Wait(_) => None,
            },
            wire::step_reply::Reply::Counter(counter::Reply { verb }) => match verb.as_ref()? {
                counter::reply::Verb::CompareAndSet(counter::CompareAndSetReply { swapped, value: _ }) => Some(*swapped),
                _ => None,
            },
            wire::step_reply::Reply::Queue(_) | wire::step_reply::Reply::Lock(_) => None,
        }
    }

    /// The revision of a store after its put, delete or incr.
    pub fn revision(&self) -> Option<u64> {
        match self.kv()? {
            kv::reply::Verb::Put(kv::PutReply { revision, previous: _ })
            | kv::reply::Verb::Delete(kv::DeleteReply { previous: _, revision })
            | kv::reply::Verb::Incr(kv::IncrReply { value: _, revision }) => Some(*revision),
            _ => None,
        }
    }

    /// The value that a store's get or setdefault shows, or that its put or delete replaced; `None`: there is none.
    /// [`Error::Codec`], when it is not a `V`.
    pub fn value<V: Payload>(&self) -> Result<Option<V>> {
        let entry = match self.kv() {
            Some(kv::reply::Verb::Get(kv::GetReply { entry, revision: _ })) => entry,
            Some(kv::reply::Verb::SetDefault(kv::SetDefaultReply { entry, created: _ })) => entry,
            Some(kv::reply::Verb::Put(kv::PutReply { revision: _, previous })) => previous,
            Some(kv::reply::Verb::Delete(kv::DeleteReply { previous, revision: _ })) => previous,
            _ => return Ok(None),
        };
        let Some(v1::Value { data, codec }) = entry.as_ref().and_then(|entry| entry.value.clone()) else { return Ok(None) };
        self.handle.decode(Raw { data, codec }).map(Some)
    }

    fn kv(&self) -> Option<&kv::reply::Verb> {
        match self.reply.as_ref()? {
            wire::step_reply::Reply::Kv(reply) => reply.verb.as_ref(),
            _ => None,
        }
    }

    fn queue(&self) -> Option<&queue::reply::Verb> {
        match self.reply.as_ref()? {
            wire::step_reply::Reply::Queue(reply) => reply.verb.as_ref(),
            _ => None,
        }
    }

    fn counter(&self) -> Option<&counter::reply::Verb> {
        match self.reply.as_ref()? {
            wire::step_reply::Reply::Counter(reply) => reply.verb.as_ref(),
            _ => None,
        }
    }
}
