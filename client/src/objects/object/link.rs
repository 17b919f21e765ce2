//! How a provider reaches the broker: through its session, or from within the broker itself.

pub use crate::objects::reference::{as_object as handle_in, object as handle_of};

use super::wire;
use crate::{Manager, Result, call, objects::Handle};
use futures_util::{FutureExt, future::BoxFuture};

/// The verbs of providers of one object. Whoever calls them leaves the object in the requests empty.
pub trait Link: Send + Sync + 'static {
    /// The first of all.
    fn provide(&self, request: wire::ProvideRequest) -> BoxFuture<'static, Result<wire::ProvideReply>>;

    /// Waits for calls and cancellations. Dropping the future gives back what it would have brought.
    fn take(&self, request: wire::TakeRequest) -> BoxFuture<'static, Result<wire::TakeReply>>;

    /// Outcomes. Everything that is given arrives, in order, as long as the provider is there.
    fn give(&self, request: wire::GiveRequest);

    /// Waits until some items were taken.
    fn r#yield(&self, request: wire::YieldRequest) -> BoxFuture<'static, Result<wire::YieldReply>>;

    /// Behind everything that was given.
    fn withdraw(&self, request: wire::WithdrawRequest) -> BoxFuture<'static, Result<wire::WithdrawReply>>;

    /// As `withdraw`, in the background.
    fn leave(&self, request: wire::WithdrawRequest);

    /// How large one result or item may be.
    fn payload_bytes_max(&self) -> u64;

    /// The session for handles among the arguments; without one they cannot be read.
    fn manager(&self) -> Option<&Manager>;

    /// The object's name, for messages.
    fn name(&self) -> &str;
}

impl Link for Handle {
    fn provide(&self, mut request: wire::ProvideRequest) -> BoxFuture<'static, Result<wire::ProvideReply>> {
        request.object = self.object();
        let handle = self.clone();
        async move { handle.call(request).await }.boxed()
    }

    fn take(&self, mut request: wire::TakeRequest) -> BoxFuture<'static, Result<wire::TakeReply>> {
        request.object = self.object();
        let handle = self.clone();
        async move { handle.call(request).await }.boxed()
    }

    fn give(&self, mut request: wire::GiveRequest) {
        request.object = self.object();
        self.tell(request);
    }

    fn r#yield(&self, mut request: wire::YieldRequest) -> BoxFuture<'static, Result<wire::YieldReply>> {
        request.object = self.object();
        let handle = self.clone();
        async move { handle.call(request).await }.boxed()
    }

    fn withdraw(&self, mut request: wire::WithdrawRequest) -> BoxFuture<'static, Result<wire::WithdrawReply>> {
        request.object = self.object();
        let handle = self.clone();
        async move { call::settle(handle.manager().session(), request).await }.boxed()
    }

    fn leave(&self, mut request: wire::WithdrawRequest) {
        request.object = self.object();
        self.tell(request);
    }

    fn payload_bytes_max(&self) -> u64 {
        self.manager().session().payload_bytes_max()
    }

    fn manager(&self) -> Option<&Manager> {
        Some(Handle::manager(self))
    }

    fn name(&self) -> &str {
        Handle::name(self)
    }
}
