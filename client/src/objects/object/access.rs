//! How the calls of a typed object get at it: side by side, or alone.

use super::{Answer, Answering, Failed, Shared};
use futures_util::FutureExt;
use std::{
    future::ready,
    ops::{Deref, DerefMut},
    sync::Arc,
};

/// An object that calls may look at.
pub trait Read: Send + Sync + 'static {
    /// The object itself.
    type Object;

    /// To look at it. The error is for the caller.
    fn read(&self) -> impl Future<Output = Result<impl Deref<Target = Self::Object> + Send, Failed>> + Send;
}

/// An object that calls may change.
pub trait Change: Read {
    /// To change it, alone. The error is for the caller.
    fn change(&self) -> impl Future<Output = Result<impl DerefMut<Target = Self::Object> + Send, Failed>> + Send;
}

impl<T: Send + Sync + 'static> Read for Arc<T> {
    type Object = T;

    fn read(&self) -> impl Future<Output = Result<impl Deref<Target = T> + Send, Failed>> + Send {
        ready(Ok(&**self))
    }
}

impl<T: Send + Sync + 'static> Read for Shared<T> {
    type Object = T;

    fn read(&self) -> impl Future<Output = Result<impl Deref<Target = T> + Send, Failed>> + Send {
        self.read_in_turn()
    }
}

impl<T: Send + Sync + 'static> Change for Shared<T> {
    fn change(&self) -> impl Future<Output = Result<impl DerefMut<Target = T> + Send, Failed>> + Send {
        self.change_in_turn()
    }
}

/// A call that ends where an argument cannot be read.
pub fn answering(work: impl Future<Output = Result<Answer, Failed>> + Send + 'static) -> Answering {
    work.map(|outcome| outcome.unwrap_or_else(Answer::Failed)).boxed()
}
