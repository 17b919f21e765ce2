//! What a description shows of types and defaults, as far as only the compiler or the running program knows it.

use crate::{Payload, Raw};
use std::marker::PhantomData;

/// A type that is a handle to an object.
pub trait Handle {
    /// The kind of the object.
    const KIND: &'static str;
}

macro_rules! handles {
    ($($kind:literal $handle:ident $(<$parameter:ident>)?),* $(,)?) => {
        $(impl $(<$parameter>)? Handle for crate::$handle $(<$parameter>)? {
            const KIND: &'static str = $kind;
        })*
    };
}

handles!("array" Array<N>, "barrier" Barrier, "channel" Channel<T>, "condition" Condition, "counter" Counter, "event" Event, "kv" Kv<T>,
    "latch" Latch, "list" List<T>, "lock" Lock, "object" Object, "queue" Queue<T>, "rwlock" RwLock, "semaphore" Semaphore,
    "topic" Topic<T>);

/// Asks what is shown of a type. `(&Shown::<T>::new()).named("T")` finds the trait for handles first, and the other one where there is no
/// such thing: a name alone does not tell whether an `Event` is somebody's own.
#[derive(Debug)]
pub struct Shown<T>(PhantomData<fn() -> T>);

impl<T> Shown<T> {
    /// Of this type.
    #[allow(clippy::new_without_default, reason = "it is made by generated code only")]
    pub fn new() -> Shown<T> {
        Shown(PhantomData)
    }
}

/// Shows a handle by its kind.
pub trait ByKind {
    /// What is shown; the name is what was written.
    fn named(&self, name: &str) -> String;
}

impl<T: Handle> ByKind for Shown<T> {
    fn named(&self, _name: &str) -> String {
        format!("handle:{}", T::KIND)
    }
}

/// Shows every other type by its name.
pub trait ByName {
    /// What is shown; the name is what was written.
    fn named(&self, name: &str) -> String;
}

impl<T> ByName for &Shown<T> {
    fn named(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// A default as people read it: as JSON, or nothing where it is none.
pub fn default<T: Payload>(default: &T) -> String {
    let read = |raw: Raw| serde_json::Value::decode(raw).ok();
    default.encode().ok().and_then(read).map(|value| value.to_string()).unwrap_or_default()
}
