//! The tests and steps of stores, queues and leases.

use super::{Step, Test, wire};
use crate::{
    Kv, Lease, Payload, Queue, Result,
    objects::{kv, queue},
};
use bursar_proto::v1::{
    kv::{Command as KvCommand, ContainsRequest, GetRequest, command::Verb as KvVerb},
    queue::{Command as QueueCommand, PutRequest, Reason, command::Verb as QueueVerb},
};
use std::{borrow::Borrow, time::Duration};

fn on_kv(verb: KvVerb) -> wire::step::Command {
    wire::step::Command::Kv(KvCommand { verb: Some(verb) })
}

fn on_queue(verb: QueueVerb) -> wire::step::Command {
    wire::step::Command::Queue(QueueCommand { verb: Some(verb) })
}

/// A key of a store, to be tested by a [`Txn`](super::Txn): `store.key("total").is(7)`.
#[derive(Clone, Debug)]
pub struct Key<V> {
    kv: Kv<V>,
    key: String,
}

impl<V> Key<V> {
    /// There is no such key.
    pub fn is_absent(&self) -> Test {
        self.test_present(false)
    }

    /// There is such a key.
    pub fn is_present(&self) -> Test {
        self.test_present(true)
    }

    fn test_present(&self, present: bool) -> Test {
        let key = self.key.clone();
        Test::new(self.kv.handle(), wire::test::Test::KeyPresent(wire::KeyPresent { key, present }))
    }

    /// The key's `modify_revision` is this.
    pub fn has_revision(&self, revision: u64) -> Test {
        let key = self.key.clone();
        Test::new(self.kv.handle(), wire::test::Test::KeyRevision(wire::KeyRevision { key, revision }))
    }
}

impl<V: Payload> Key<V> {
    /// The key has this value, by the same bytes of the same codec. What others wrote as JSON is not equal to the same as MessagePack.
    pub fn is(&self, value: impl Borrow<V>) -> Test {
        let encoded = self.kv.encode(value.borrow(), super::EXECUTE);
        let test = |value| wire::test::Test::KeyValue(wire::KeyValue { key: self.key.clone(), value: Some(value) });
        Test::try_new(self.kv.handle(), encoded.map(test))
    }
}

/// The tests and steps of a [`Txn`](crate::txn::Txn).
impl<V> Kv<V> {
    /// A key, to be tested in a transaction.
    pub fn key(&self, key: impl Into<String>) -> Key<V> {
        Key { kv: self.clone(), key: key.into() }
    }

    fn step(&self, verb: Result<KvVerb>) -> Step {
        Step::try_new(self.handle(), verb.map(on_kv))
    }
}

/// The tests and steps of a [`Txn`](crate::txn::Txn).
impl<V: Payload> Kv<V> {
    /// Shows a key, by [`StepReply::value`](crate::txn::StepReply::value).
    pub fn step_get(&self, key: &str) -> Step {
        let request = GetRequest { object: self.handle().object(), key: key.to_owned(), touch: false };
        self.step(Ok(KvVerb::Get(request)))
    }

    /// Says whether there is such a key, by [`StepReply::flag`](crate::txn::StepReply::flag).
    pub fn step_contains(&self, key: &str) -> Step {
        let request = ContainsRequest { object: self.handle().object(), key: key.to_owned() };
        self.step(Ok(KvVerb::Contains(request)))
    }

    /// Sets a key, as [`Kv::put`] does.
    pub fn step_put(&self, key: &str, value: impl Borrow<V>) -> Step {
        self.step_put_with(key, value, &kv::PutOptions::default())
    }

    /// As [`Kv::step_put`], with options. When their condition does not hold, the transaction is refused with `RevisionMismatch`;
    /// a test of [`Kv::key`] decides between two ways instead.
    pub fn step_put_with(&self, key: &str, value: impl Borrow<V>, options: &kv::PutOptions) -> Step {
        self.step(self.put_request(key, value.borrow(), options).map(KvVerb::Put))
    }

    /// Sets a key if there is none, as [`Kv::setdefault`] does.
    pub fn step_setdefault(&self, key: &str, value: impl Borrow<V>) -> Step {
        self.step(self.setdefault_request(key, value.borrow()).map(KvVerb::SetDefault))
    }

    /// Deletes a key, if there is such a key.
    pub fn step_delete(&self, key: &str) -> Step {
        self.step(Ok(KvVerb::Delete(self.delete_request(key, None))))
    }

    /// Adds to an integer, as [`Kv::incr`] does; [`StepReply::number`](crate::txn::StepReply::number) is the sum.
    pub fn step_incr(&self, key: &str, by: i64) -> Step {
        self.step(Ok(KvVerb::Incr(self.incr_request(key, by))))
    }
}

/// The tests and steps of a [`Txn`](crate::txn::Txn).
impl<T: Payload> Queue<T> {
    /// Nothing is queued: there are no items that are ready or delayed. Leased ones do not count.
    pub fn test_empty(&self) -> Test {
        Test::new(self.handle(), wire::test::Test::IsEmpty(true))
    }

    /// Puts an item; [`StepReply::ids`](crate::txn::StepReply::ids) has its id. The transaction is refused with `Full` when there is no
    /// room, and with `Closed` when the queue is closed.
    pub fn step_put(&self, item: impl Borrow<T>) -> Step {
        self.step_put_with(item, &queue::PutOptions::default())
    }

    /// As [`Queue::step_put`], with options.
    pub fn step_put_with(&self, item: impl Borrow<T>, options: &queue::PutOptions) -> Step {
        self.step_put_items([item], options)
    }

    /// Puts many items, at most 10,000; all or none, as everything here.
    pub fn step_put_many<I: Borrow<T>>(&self, items: impl IntoIterator<Item = I>) -> Step {
        self.step_put_items(items, &queue::PutOptions::default())
    }

    fn step_put_items<I: Borrow<T>>(&self, items: impl IntoIterator<Item = I>, options: &queue::PutOptions) -> Step {
        let items = items.into_iter().map(|item| self.item(item.borrow(), options)).collect::<Result<_>>();
        let (fence, object) = (self.handle().fence(), self.handle().object());
        let request = |items| on_queue(QueueVerb::Put(PutRequest { object, wait_ms: 0, items, fence }));
        Step::try_new(self.handle(), items.map(request))
    }
}

/// The tests and steps of a [`Txn`](crate::txn::Txn). The lease is settled if the step was executed, and held on if not.
impl<T> Lease<T> {
    /// The lease is held: it did not go back.
    pub fn test_held(&self) -> Test {
        Test::new(self.held().handle(), wire::test::Test::LeaseHeld(self.lease_id()))
    }

    /// Settles the lease as [`Lease::done`] does. The transaction is refused with `NotHeld` when it went back meanwhile.
    pub fn step_done(&self) -> Step {
        self.step(QueueVerb::Done(self.held().done_request()))
    }

    /// Gives the item back as failed, as [`Lease::retry`] does.
    pub fn step_retry(&self) -> Step {
        self.step_retry_because("", None)
    }

    /// Gives the item back as failed, as [`Lease::retry_because`] does.
    pub fn step_retry_because(&self, why: impl Into<String>, delay: Option<Duration>) -> Step {
        self.step(QueueVerb::Return(self.held().return_request(Reason::Failed, delay, why.into())))
    }

    /// Gives the item back unharmed, as [`Lease::release`] does.
    pub fn step_release(&self) -> Step {
        self.step(QueueVerb::Return(self.held().return_request(Reason::Released, None, String::new())))
    }

    /// Puts the item aside, as [`Lease::park`] does.
    pub fn step_park(&self, why: impl Into<String>) -> Step {
        self.step(QueueVerb::Park(self.held().park_request(why.into())))
    }

    fn step(&self, verb: QueueVerb) -> Step {
        Step::new(self.held().handle(), on_queue(verb)).settling(self.held().settled())
    }
}
