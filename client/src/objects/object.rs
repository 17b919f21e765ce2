//! Objects of one's own: what serves them, and what calls them.
//!
//! ```text
//!   Object ── Request ──► broker ── Take ──► Serving ── Call ──► Service
//!   (who calls)                              (who serves)        (the object)
//! ```
//!
//! [`shared`](crate::shared) makes both ends of a trait; everything here can be used without it, by objects and callers that know methods
//! by name only.

mod access;
mod attempt;
mod builder;
mod calling;
mod context;
mod crew;
mod driver;
#[doc(hidden)]
pub mod errand;
#[doc(hidden)]
pub mod generated;
mod incoming;
mod items;
#[doc(hidden)]
pub mod link;
mod service;
mod serving;
mod shown;
mod turns;

pub use builder::{Builder, Client};
pub use calling::{CallError, Request};
/// What gives items, for traits with streams: that of the crates `futures` and `tokio-stream`.
pub use futures_util::Stream;
pub use incoming::Incoming;
pub use items::Items;
pub use service::{Answer, Answering, Arguments, Call, Dynamic, Failed, IntoService, Service};
#[doc(hidden)]
pub use serving::serve_over;
pub use serving::{Serve, Serving};
pub use turns::Shared;
/// What an object says of itself: its methods, their arguments and types, in words for people and programs.
pub use wire::{Description, Method, Parameter};

use super::{Handle, opened::opened, reference::travels};
use crate::Result;
use bursar_proto::v1::object as wire;

/// An object that other processes serve, by the names of its methods.
///
/// Every call gets exactly one answer. It is given to one provider at a time; when that one goes, the call goes to another one if the
/// method is idempotent or the provider had not heard of it, and fails with `ProviderGone` else. Dropping the future of a call, or the
/// stream, tells the provider to stop.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use bursar::object::{Answer, Call, Description, Method, Parameter, Service};
/// use std::sync::Arc;
///
/// struct Doubler;
///
/// impl Service for Doubler {
///     fn description(&self) -> Description {
///         let n = Parameter { name: "n".into(), r#type: "integer".into(), ..Parameter::default() };
///         let double = Method { name: "double".into(), parameters: vec![n], result: "integer".into(), ..Method::default() };
///         Description { doc: "Doubles.".into(), methods: vec![double] }
///     }
///
///     fn call(self: Arc<Self>, mut call: Call) -> bursar::object::Answering {
///         Box::pin(async move {
///             match call.arguments.take::<i64>("n") {
///                 Ok(n) => Answer::of(&(2 * n.unwrap_or(0))),
///                 Err(failed) => Answer::Failed(failed),
///             }
///         })
///     }
/// }
///
/// let serving = manager.serve("doubler", Arc::new(Doubler)).start().await?;
/// let doubler = manager.object("doubler").open().await?;
/// assert_eq!(doubler.call("double").arg("n", &21).send::<i64>().await.unwrap(), 42);
/// let error = doubler.call("duoble").send::<i64>().await.unwrap_err();
/// assert!(error.to_string().contains("the nearest one is \"double\""), "{error}");
/// serving.stop().await?;
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Object {
    handle: Handle,
    waits_for_provider: bool,
}

opened!(Object);
travels!(Object, "object", |handle| Object::new(handle, false));

impl Object {
    pub(super) fn new(handle: Handle, waits_for_provider: bool) -> Object {
        Object { handle, waits_for_provider }
    }

    /// A handle whose calls wait, where nobody serves the method, until somebody does. Without it they fail with `NoProvider`.
    pub fn wait_for_provider(&self) -> Object {
        Object { handle: self.handle.clone(), waits_for_provider: true }
    }

    /// Names a method. Nothing happens before one of the last verbs of [`Request`].
    pub fn call(&self, method: impl Into<String>) -> Request {
        Request::new(self.clone(), method.into())
    }

    /// What the object says of itself, who serves it, and what happened to its calls.
    pub async fn describe(&self) -> Result<About> {
        let reply = self.handle.call(wire::DescribeRequest { object: self.handle.object() }).await?;
        let wire::DescribeReply { description, providers, capacity, waiting, running, calls, given_again, gone } = reply;
        Ok(About { description, providers, capacity, waiting, running, calls, given_again, gone })
    }
}

/// What is known of an object at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// `None`: nobody ever served it.
    pub description: Option<Description>,
    /// How many serve it.
    pub providers: u64,
    /// How many calls all of them carry out at once.
    pub capacity: u64,
    /// Calls that no provider has.
    pub waiting: u64,
    /// Calls that providers have.
    pub running: u64,
    /// Calls since the object was created.
    pub calls: u64,
    /// Calls that were given to another provider when theirs went.
    pub given_again: u64,
    /// Calls that ended as `ProviderGone`.
    pub gone: u64,
}
