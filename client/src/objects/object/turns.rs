//! An object that calls share, and which of them have it. A call that is made for another one must not wait for what that one has: it
//! reads along with it, or is refused.
//!
//! The broker keeps serial calls apart wherever they run; it does not know that an object is also kept from those who look at it.

use super::{Failed, context, wire};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fmt,
    ops::{Bound, Deref, DerefMut},
    sync::{Arc, Weak},
};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// An object that calls share: those that only read run side by side, one that changes runs alone.
///
/// For an object that needs nobody to keep its calls apart, an `Arc` will do. A clone is the same object.
pub struct Shared<T> {
    object: Arc<RwLock<T>>,
    turns: Arc<Mutex<Turns<T>>>,
}

/// Which calls have the object. Short sections, in which nothing is awaited.
struct Turns<T> {
    /// With a number each: calls within the broker have none of their own.
    readers: BTreeMap<(Caller, u64), Weak<OwnedRwLockReadGuard<T>>>,
    last_reader: u64,
    writer: Option<Caller>,
}

/// A call, by the epoch of its object and its number there.
type Caller = (u64, u64);

fn caller(link: &wire::Link) -> Caller {
    (link.epoch, link.call)
}

impl<T> Shared<T> {
    /// Shares an object.
    pub fn new(object: T) -> Shared<T> {
        let turns = Turns { readers: BTreeMap::new(), last_reader: 0, writer: None };
        Shared { object: Arc::new(RwLock::new(object)), turns: Arc::new(Mutex::new(turns)) }
    }

    /// To look at it, beside others who do.
    pub async fn read(&self) -> RwLockReadGuard<'_, T> {
        self.object.read().await
    }

    /// To change it, alone.
    pub async fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.object.write().await
    }

    /// As [`Shared::read`], for the call on whose behalf this thread works.
    pub(super) async fn read_in_turn(&self) -> Result<Reading<T>, Failed> {
        let chain = context::chain();
        let above = self.turns.lock().above(&chain);
        let guard = match above {
            Some((at, Above::Changes)) => return Err(cycle(&chain[at..])),
            // Not behind one that waits to change it: that one waits for the call above.
            Some((_, Above::Reads(guard))) => guard,
            None => Arc::new(self.object.clone().read_owned().await),
        };
        let mut turns = self.turns.lock();
        turns.last_reader += 1;
        let key = (chain.last().map(caller).unwrap_or_default(), turns.last_reader);
        turns.readers.insert(key, Arc::downgrade(&guard));
        drop(turns);
        Ok(Reading { guard, key, turns: self.turns.clone() })
    }

    /// As [`Shared::write`], for the call on whose behalf this thread works.
    pub(super) async fn change_in_turn(&self) -> Result<Changing<T>, Failed> {
        let chain = context::chain();
        if let Some((at, _)) = self.turns.lock().above(&chain) {
            return Err(cycle(&chain[at..]));
        }
        let guard = self.object.clone().write_owned().await;
        self.turns.lock().writer = chain.last().map(caller);
        Ok(Changing { guard, turns: self.turns.clone() })
    }
}

/// The call would wait for one above it that has the object.
fn cycle(chain: &[wire::Link]) -> Failed {
    let links: Vec<_> = chain.iter().map(|link| format!("{}.{} (call {})", link.object, link.method, link.call)).collect();
    Failed::new(Failed::CYCLE, format!("the call would wait for itself: {}", links.join(" -> ")))
}

/// What a call above has.
enum Above<T> {
    Reads(Arc<OwnedRwLockReadGuard<T>>),
    Changes,
}

impl<T> Turns<T> {
    /// The first of the calls above the last one that has the object.
    fn above(&self, chain: &[wire::Link]) -> Option<(usize, Above<T>)> {
        let above = chain.split_last().map_or(&[][..], |(_, above)| above).iter().map(caller).enumerate();
        above.filter_map(|(at, call)| Some((at, self.of(call)?))).next()
    }

    fn of(&self, call: Caller) -> Option<Above<T>> {
        if self.writer == Some(call) {
            return Some(Above::Changes);
        }
        let own = (Bound::Included((call, 0)), Bound::Included((call, u64::MAX)));
        self.readers.range(own).find_map(|(_, guard)| guard.upgrade()).map(Above::Reads)
    }
}

/// A call looks at the object.
pub(super) struct Reading<T> {
    guard: Arc<OwnedRwLockReadGuard<T>>,
    key: (Caller, u64),
    turns: Arc<Mutex<Turns<T>>>,
}

impl<T> Deref for Reading<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> Drop for Reading<T> {
    fn drop(&mut self) {
        self.turns.lock().readers.remove(&self.key);
    }
}

/// A call changes the object.
pub(super) struct Changing<T> {
    guard: OwnedRwLockWriteGuard<T>,
    turns: Arc<Mutex<Turns<T>>>,
}

impl<T> Deref for Changing<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Changing<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> Drop for Changing<T> {
    fn drop(&mut self) {
        self.turns.lock().writer = None;
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        Shared { object: self.object.clone(), turns: self.turns.clone() }
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Shared<T> {
        Shared::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Shared").field(&self.object).finish()
    }
}
