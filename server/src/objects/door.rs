//! The door of the objects' room: what a session may ask, in one place for streams and unary calls alike.

use super::{
    core::Fence,
    host::{Hosted, Ticket},
    kind::SessionId,
    registry::Registry,
    transaction::Transaction,
};
use bursar_proto::{
    Command, Fault, Targeted, Wait,
    v1::{answer::Reply, call, registry as pb, txn},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A call that has found its way.
pub enum Routed {
    /// To an object.
    Object(Arc<dyn Hosted>, Command, Wait, Option<Fence>),
    /// To several objects at once.
    Several(Transaction),
    /// To the names, which never wait.
    Names(pb::command::Verb),
}

/// The way to all objects.
pub struct Door {
    registry: Registry,
    /// The broker is stopping: nobody may wait any more.
    is_closing: AtomicBool,
}

impl Door {
    /// The door of these objects.
    pub fn new(registry: Registry) -> Door {
        Door { registry, is_closing: AtomicBool::new(false) }
    }

    /// The names.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Finds the object that a command is for.
    pub fn route(&self, command: Option<call::Command>) -> Result<Routed, Fault> {
        let unknown = || Fault::UnknownVerb { verb: "this call".into() };
        let command = match command.ok_or_else(unknown)? {
            call::Command::Registry(command) => return command.verb.map(Routed::Names).ok_or_else(unknown),
            call::Command::Txn(command) => {
                let txn::command::Verb::Execute(request) = command.verb.ok_or_else(unknown)?;
                return Transaction::prepare(&self.registry, request).map(Routed::Several);
            }
            command => Command::of_call(command).ok_or_else(unknown)?,
        };
        let host = self.registry.resolve(command.object())?;
        let wait = Wait::from_ms(command.wait_ms())?;
        let fence = self.registry.fence(command.fence())?;
        Ok(Routed::Object(host, command, wait, fence))
    }

    /// Executes a command for an object.
    pub fn call(&self, host: &dyn Hosted, ticket: Ticket, command: Command, wait: Wait, fence: Option<Fence>) {
        if self.is_closing.load(Ordering::Relaxed) && wait != Wait::Never {
            // Settlements never wait and still go through.
            return ticket.answer(Err(Fault::ShuttingDown {}));
        }
        host.call(ticket, command, wait, fence);
    }

    /// Executes a transaction.
    pub fn execute(&self, transaction: Transaction, ticket: Ticket) {
        transaction.execute(self.registry.world(), ticket);
    }

    /// Executes a command for the names. `status` is the broker's to answer.
    pub fn name(
        &self,
        caller: SessionId,
        verb: pb::command::Verb,
        status: impl FnOnce() -> pb::StatusReply,
    ) -> Result<Reply, Fault> {
        use pb::{command::Verb, reply};
        let verb = match verb {
            Verb::Open(request) => reply::Verb::Open(self.registry.open(caller, request)?),
            Verb::List(request) => reply::Verb::List(self.registry.list(&request)),
            Verb::Describe(request) => {
                let object = Some(self.registry.describe(request.object.as_ref())?);
                reply::Verb::Describe(pb::DescribeReply { object })
            }
            Verb::Delete(request) => {
                self.registry.delete(request.object.as_ref())?;
                reply::Verb::Delete(pb::DeleteReply {})
            }
            Verb::Close(request) => {
                self.registry.close(caller, request.object.as_ref())?;
                reply::Verb::Close(pb::CloseReply {})
            }
            Verb::Status(_) => reply::Verb::Status(status()),
            Verb::Waits(request) => reply::Verb::Waits(self.registry.waits(request.object.as_ref())?),
        };
        Ok(Reply::Registry(pb::Reply { verb: Some(verb) }))
    }

    /// The broker is stopping: whoever waits is told so, and nobody waits any more.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        self.registry.dismiss_all(&Fault::ShuttingDown {});
    }
}
