//! The tests and steps of counters, events and locks.

use super::{Step, Test, wire};
use crate::{Counter, Event, LockGuard};
use bursar_proto::v1::{counter, event, lock};

/// How a counter's value and a number are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the words say it")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl From<Comparison> for wire::Comparison {
    fn from(comparison: Comparison) -> wire::Comparison {
        match comparison {
            Comparison::Equal => wire::Comparison::Equal,
            Comparison::NotEqual => wire::Comparison::NotEqual,
            Comparison::Less => wire::Comparison::Less,
            Comparison::LessOrEqual => wire::Comparison::LessOrEqual,
            Comparison::Greater => wire::Comparison::Greater,
            Comparison::GreaterOrEqual => wire::Comparison::GreaterOrEqual,
        }
    }
}

/// The tests and steps of a [`Txn`](crate::txn::Txn).
impl Counter {
    /// The counter's value is to the number as the comparison says: `counter.test(Comparison::Less, 10)`.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::{Counter, Queue, txn::Comparison};
    ///
    /// let budget: Counter = manager.counter("budget").create().await?;
    /// let jobs: Queue<u32> = manager.queue("jobs").create().await?;
    /// budget.set(10).await?;
    /// let spend = manager
    ///     .txn()
    ///     .when(budget.test(Comparison::GreaterOrEqual, 7))
    ///     .then(budget.step_add(-7))
    ///     .then(jobs.step_put(1));
    /// assert_eq!(spend.execute().await?[0].number(), Some(3));
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn test(&self, comparison: Comparison, number: i64) -> Test {
        let comparison = wire::Comparison::from(comparison).into();
        Test::new(self.handle(), wire::test::Test::Number(wire::Number { comparison, value: number }))
    }

    /// Shows the value, by [`StepReply::number`](crate::txn::StepReply::number).
    pub fn step_get(&self) -> Step {
        self.step(counter::command::Verb::Get(counter::GetRequest { object: self.handle().object() }))
    }

    /// Adds to the value. The transaction is refused with `CounterOverflow` when the sum leaves the range.
    pub fn step_add(&self, by: i64) -> Step {
        self.step(counter::command::Verb::Add(counter::AddRequest { object: self.handle().object(), by }))
    }

    /// Sets the value.
    pub fn step_set(&self, value: i64) -> Step {
        self.step(counter::command::Verb::Set(counter::SetRequest { object: self.handle().object(), value }))
    }

    fn step(&self, verb: counter::command::Verb) -> Step {
        Step::new(self.handle(), wire::step::Command::Counter(counter::Command { verb: Some(verb) }))
    }
}

/// The tests and steps of a [`Txn`](crate::txn::Txn).
impl Event {
    /// The event is set (`true`) or clear (`false`).
    pub fn test(&self, is_set: bool) -> Test {
        Test::new(self.handle(), wire::test::Test::IsSet(is_set))
    }

    /// Sets the event.
    pub fn step_set(&self) -> Step {
        self.step(event::command::Verb::Set(event::SetRequest { object: self.handle().object() }))
    }

    /// Clears the event.
    pub fn step_clear(&self) -> Step {
        self.step(event::command::Verb::Clear(event::ClearRequest { object: self.handle().object() }))
    }

    fn step(&self, verb: event::command::Verb) -> Step {
        Step::new(self.handle(), wire::step::Command::Event(event::Command { verb: Some(verb) }))
    }
}

/// The step of a [`Txn`](crate::txn::Txn); [`Test::held`] of its [`fence`](LockGuard::fence) is the test.
impl LockGuard {
    /// Gives the lock back, or one level of a reentrant one. The transaction is refused with `NotHeld` when it went to others meanwhile.
    ///
    /// The guard is over if the step was executed, and holds on if not. Whether it was is not known when the future of `execute` is
    /// dropped: then dropping the guard gives back a further level, so wait for it when the lock is reentrant.
    pub fn step_release(&self) -> Step {
        let grant = self.grant();
        let request = lock::ReleaseRequest { object: grant.handle().object(), token: grant.token() };
        let command = lock::Command { verb: Some(lock::command::Verb::Release(request)) };
        Step::new(grant.handle(), wire::step::Command::Lock(command)).settling(grant.settled())
    }
}
