//! What is held under a token, until it is given back: the part that all guards share.
//!
//! ```text
//!   granted ──► held ── release (waits), or the guard is dropped (in the background) ──► given back
//!                └── the session is lost ──► given back by the broker
//! ```

use super::{Handle, Settled};
use crate::{
    Error, Fault, Manager, Result, State,
    call::{self, Verb},
};
use bursar_proto::v1;
use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// The verb that gives back what is held under a token.
pub(crate) trait Release: Verb {
    fn new(object: Option<v1::ObjectRef>, token: u64) -> Self;
}

macro_rules! releases {
    ($($module:ident),*) => { $(
        impl Release for v1::$module::ReleaseRequest {
            fn new(object: Option<v1::ObjectRef>, token: u64) -> Self {
                Self { object, token }
            }
        }
    )* };
}

releases!(lock, rwlock, semaphore, condition);

/// Given back exactly once, at the latest when it is dropped.
pub(crate) struct Grant<R: Release> {
    handle: Handle,
    token: u64,
    settled: Settled,
    verb: PhantomData<fn() -> R>,
}

impl<R: Release> Grant<R> {
    pub fn new(handle: &Handle, token: u64) -> Grant<R> {
        handle.manager().session().hold();
        Grant { handle: handle.clone(), token, settled: Settled::default(), verb: PhantomData }
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    pub fn token(&self) -> u64 {
        self.token
    }

    /// Set when it is given back in another way.
    pub fn settled(&self) -> &Settled {
        &self.settled
    }

    /// What was held is held under another token now.
    pub fn renew(&mut self, token: u64) {
        self.token = token;
    }

    pub fn manager(&self) -> &Manager {
        self.handle.manager()
    }

    pub fn valid_until(&self) -> Instant {
        self.manager().valid_until()
    }

    pub fn is_lost(&self) -> bool {
        self.manager().state() == State::Lost || self.valid_until() <= Instant::now()
    }

    /// Said once, whatever becomes of the future: the levels of a reentrant lock have one token, and a second word would give back
    /// another level.
    pub async fn release(self) -> Result<()> {
        self.settled.set();
        call::settle(self.manager().session(), self.request()).await.map(drop)
    }

    fn request(&self) -> R {
        R::new(self.handle.object(), self.token)
    }
}

impl<R: Release> Drop for Grant<R> {
    fn drop(&mut self) {
        if !self.settled.is_set() {
            self.handle.tell(self.request());
        }
        self.manager().session().let_go();
    }
}

/// What every guard with a field `grant` can tell and do.
macro_rules! guard {
    ($guard:ident) => {
        impl $guard {
            /// The number of this grant: larger than that of every earlier grant of any object of this name.
            pub fn token(&self) -> u64 {
                self.grant.token()
            }

            /// Waits until this is lost with its session; by then it is granted to others. To be selected on beside long work, as
            /// with [`Lease::lost`](crate::Lease::lost).
            pub async fn lost(&self) {
                self.grant.manager().lost().await;
            }

            /// Whether others may hold it by now: the session is lost, or nothing was heard of the broker for too long.
            pub fn is_lost(&self) -> bool {
                self.grant.is_lost()
            }

            /// Until when this is certainly nobody else's; moves on with every beat. Work that must not be done by two stops by then.
            pub fn valid_until(&self) -> std::time::Instant {
                self.grant.valid_until()
            }

            /// For the blocking guard, which must not keep the session.
            pub(crate) fn watch_state(&self) -> $crate::StateWatch {
                self.grant.manager().watch_state()
            }

            /// Gives it back and waits for the broker's word, which dropping the guard does not. Once the future is polled it is
            /// given back, also if the future is dropped. Fault: `NotHeld`, when it went to others meanwhile.
            pub async fn release(self) -> $crate::Result<()> {
                self.grant.release().await
            }
        }

        impl std::fmt::Debug for $guard {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let name = self.grant.handle().name();
                formatter.debug_struct(stringify!($guard)).field("name", &name).field("token", &self.token()).finish()
            }
        }
    };
}

pub(super) use guard;

/// A number for an owner within this session: no two handles of this process have the same.
pub(super) fn next_owner() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// `None` if it is held by somebody else, or has too few permits, at this moment.
pub(super) fn unless_held<G>(outcome: Result<G>) -> Result<Option<G>> {
    match outcome {
        Ok(guard) => Ok(Some(guard)),
        Err(error) if matches!(error.fault(), Some(Fault::Held { .. } | Fault::NoPermits { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `None` if the time of a wait was over.
pub(super) fn unless_timed_out<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(reply) => Ok(Some(reply)),
        Err(error) if matches!(error.fault(), Some(Fault::TimedOut { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// On the wire 0 is 1; whoever says 0 here means nothing at all, and most likely by mistake.
pub(super) fn at_least_one<V: Verb>(handle: &Handle, argument: &str, count: u64) -> Result<u64> {
    match count {
        0 => Err(Error::refused(Fault::bad_argument(argument, "expected at least 1, got 0"), V::CALL, handle.name())),
        count => Ok(count),
    }
}
