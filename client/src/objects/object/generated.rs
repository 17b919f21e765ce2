//! What the attribute [`shared`](crate::shared) writes calls to. Nothing here is for people, and it may change with every version.

use super::{Answer, Arguments, CallError, Failed, Incoming, Items, Request, calling::Reader};
pub use super::{
    Stream,
    access::{Change, Read, answering},
    shown::{ByKind, ByName, Handle, Shown, default},
};
use crate::{Error, Payload, Result};
pub use futures_util::StreamExt;
pub use serde;
use std::{convert::Infallible, fmt, marker::PhantomData};

// Who serves.

/// An argument that the method needs. The broker refuses calls without it, unless the method says something else than its description.
pub fn argument<T: Payload>(arguments: &mut Arguments, name: &str) -> Result<T, Failed> {
    arguments.take(name)?.ok_or_else(|| Failed::new(Failed::METHOD, format!("the argument {name:?} is missing")))
}

/// An argument that may be left out. Others may send a null for it.
pub fn optional<T: Payload>(arguments: &mut Arguments, name: &str) -> Result<Option<T>, Failed> {
    arguments.take_unless_null(name)
}

/// An argument with a default.
pub fn argument_or<T: Payload>(arguments: &mut Arguments, name: &str, default: impl FnOnce() -> T) -> Result<T, Failed> {
    arguments.take(name).map(|argument| argument.unwrap_or_else(default))
}

/// A method that has no error of its own has this result.
pub fn result<T: Payload>(result: &T) -> Answer {
    Answer::of(result)
}

/// A method ends so; `error` is the name of the error's type.
pub fn outcome<T: Payload, E: Payload + fmt::Display>(outcome: &Result<T, E>, error: &str) -> Answer {
    match outcome {
        Ok(result) => Answer::of(result),
        Err(failed) => Answer::Failed(Failed::of(error, failed)),
    }
}

/// A method gives these items.
pub async fn items<T: Payload>(items: Items, stream: impl Stream<Item = T>) -> Answer {
    items.give_all(stream).await
}

/// A method gives these items, up to the first error.
pub async fn fallible_items<T: Payload, E: Payload + fmt::Display>(
    items: Items,
    stream: impl Stream<Item = Result<T, E>>,
    error: &str,
) -> Answer {
    let stream = futures_util::StreamExt::map(stream, |item| item.map_err(|failed| Failed::of(error, &failed)));
    items.give_until(stream).await
}

/// There is no such method.
pub fn unknown(method: &str) -> Answer {
    Answer::Failed(Failed::new(Failed::METHOD, format!("the provider has no method {method:?}")))
}

// Who calls.

/// Calls a method that has no error of its own.
pub async fn call<T: Payload>(request: Request) -> Result<T, CallError> {
    request.finish(NONE).await
}

/// Calls a method with an error of its own; `error` is the name of its type.
pub async fn call_or<T: Payload, E: Payload>(request: Request, error: &'static str) -> Result<T, CallError<E>> {
    request.finish(Reader::typed(error)).await
}

/// The items of a method that has no error of its own.
pub fn stream<T: Payload + 'static>(request: Request) -> Incoming<T> {
    Incoming::new(request, NONE)
}

/// The items of a method with an error of its own.
pub fn stream_or<T: Payload + 'static, E: Payload + 'static>(request: Request, error: &'static str) -> Incoming<T, E> {
    Incoming::new(request, Reader::typed(error))
}

const NONE: Reader<Infallible> = Reader::none();

// The client as an implementation of the trait. What went wrong on the way has to become an error of the method's own.

/// Says an error of this crate as an `E`, if `E` can be made of it; else it panics. Which of the two is decided by method lookup:
/// `(&Otherwise::<E>::new("name")).or_else(error)` with both traits in scope.
#[derive(Debug)]
pub struct Otherwise<E> {
    method: &'static str,
    error: PhantomData<fn() -> E>,
}

impl<E> Otherwise<E> {
    /// `method`: as people call it, `Inventory::reserve`.
    pub fn new(method: &'static str) -> Otherwise<E> {
        Otherwise { method, error: PhantomData }
    }
}

/// For errors that can be made of [`Error`].
pub trait ByFrom<E> {
    /// The result of the trait's method.
    fn or_else<T>(&self, outcome: Result<T, CallError<E>>) -> Result<T, E>;
}

impl<E: From<Error>> ByFrom<E> for Otherwise<E> {
    fn or_else<T>(&self, outcome: Result<T, CallError<E>>) -> Result<T, E> {
        outcome.map_err(|error| error.into_own().unwrap_or_else(E::from))
    }
}

/// For all others.
pub trait ByPanic<E> {
    /// The result of the trait's method.
    fn or_else<T>(&self, outcome: Result<T, CallError<E>>) -> Result<T, E>;
}

impl<E> ByPanic<E> for &Otherwise<E> {
    #[track_caller]
    fn or_else<T>(&self, outcome: Result<T, CallError<E>>) -> Result<T, E> {
        outcome.map_err(|error| error.into_own().unwrap_or_else(|error| unsaid(self.method, &error)))
    }
}

/// The result of a method that has no error of its own.
#[track_caller]
pub fn certain<T>(method: &'static str, outcome: Result<T, CallError>) -> T {
    outcome.unwrap_or_else(|error| unsaid(method, &Error::from(error)))
}

/// The items of a method that has no error of its own.
pub fn certain_items<T>(method: &'static str, items: Incoming<T>) -> impl Stream<Item = T> + Send {
    futures_util::StreamExt::map(items, move |item| certain(method, item))
}

#[track_caller]
fn unsaid(method: &str, error: &Error) -> ! {
    panic!(
        "{method}: {error} (the method's own type has no room for it: use the client's methods, or give its error a From<bursar::Error>)"
    )
}
