//! Handles as values, for threads: a handle of this side is written, and read, as the one of the async side that it stands on.

use super::{
    Array, Barrier, Channel, Condition, Counter, End, Event, Kv, Latch, List, Lock, Namespace, Object, Queue, RwLock, Semaphore,
    Topic, Value,
};
use crate::array::Number;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! travels {
    ($($object:ident $(<$value:ident $(: $bound:path)?>)?),* $(,)?) => { $(
        impl $(<$value $(: $bound)?>)? Serialize for $object $(<$value>)? {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.as_async().serialize(serializer)
            }
        }

        impl<'de $(, $value $(: $bound)?)?> Deserialize<'de> for $object $(<$value>)? {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::$object::deserialize(deserializer).map(Self::from)
            }
        }
    )* };
}

travels!(
    Array<N: Number>, Barrier, Channel<T>, Condition, Counter, End<T>, Event, Kv<V>, Latch, List<T>, Lock, Namespace, Object, Queue<T>,
    RwLock, Semaphore, Topic<T>, Value<T>,
);
