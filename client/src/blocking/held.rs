//! What all guards tell and do, for threads: instead of a future to select on, a callback for the case that the session is lost.

use super::block_on;
use crate::{Error, Result, State, StateWatch};
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use std::{pin::pin, thread};
use tokio::sync::oneshot;

/// The callbacks of one guard. Each has a thread, which waits for the end of the session or of the guard, whichever is first, and
/// holds nothing of the session meanwhile.
#[derive(Debug)]
pub(super) struct Callbacks {
    session: StateWatch,
    /// Told at the end of the guard whether the callback is to run. Never locked for longer than a push.
    threads: Mutex<Vec<oneshot::Sender<bool>>>,
}

impl Callbacks {
    pub fn new(session: StateWatch) -> Callbacks {
        Callbacks { session, threads: Mutex::default() }
    }

    pub fn push(&self, callback: impl FnOnce() + Send + 'static) -> Result<()> {
        let (sender, end_of_guard) = oneshot::channel();
        let session = self.session.clone();
        let wait = move || {
            if block_on(is_lost_first(session, end_of_guard)) {
                callback();
            }
        };
        thread::Builder::new().name("bursar-on-lost".to_owned()).spawn(wait).map_err(Error::Thread)?;
        self.threads.lock().push(sender);
        Ok(())
    }
}

impl Drop for Callbacks {
    /// A thread may wake up only after both have ended: what the guard saw decides.
    fn drop(&mut self) {
        let is_lost = self.session.state() == State::Lost;
        for thread in self.threads.get_mut().drain(..) {
            // One whose callback has run listens no more.
            let _ = thread.send(is_lost);
        }
    }
}

async fn is_lost_first(mut session: StateWatch, end_of_guard: oneshot::Receiver<bool>) -> bool {
    let lost = pin!(async {
        while session.state() != State::Lost {
            session.changed().await;
        }
    });
    match select(end_of_guard, lost).await {
        Either::Left((is_lost, _)) => is_lost.unwrap_or(false),
        Either::Right(((), _)) => true,
    }
}

/// What every guard with the fields `callbacks` and `inner` can tell and do. They are dropped in this order: `inner` may be what keeps
/// the session, and its clean end is no loss.
macro_rules! guard {
    ($guard:ident) => {
        impl From<crate::$guard> for $guard {
            fn from(inner: crate::$guard) -> $guard {
                let callbacks = $crate::blocking::held::Callbacks::new(inner.watch_state());
                $guard { callbacks, inner }
            }
        }

        impl $guard {
            /// The number of this grant: larger than that of every earlier grant of any object of this name.
            pub fn token(&self) -> u64 {
                self.inner.token()
            }

            /// Whether others may hold it by now: the session is lost, or nothing was heard of the broker for too long.
            pub fn is_lost(&self) -> bool {
                self.inner.is_lost()
            }

            /// Until when this is certainly nobody else's; moves on with every beat. Work that must not be done by two stops by then.
            pub fn valid_until(&self) -> std::time::Instant {
                self.inner.valid_until()
            }

            /// Calls this once, in a thread of its own, when the session is lost while the guard lives. A guard that is dropped or
            /// released first takes the callback with it. Error: [`Error::Thread`](crate::Error::Thread).
            pub fn on_lost(&self, callback: impl FnOnce() + Send + 'static) -> $crate::Result<()> {
                self.callbacks.push(callback)
            }

            /// Gives it back and waits for the broker's word, which dropping the guard does not. Fault: `NotHeld`, when it went to
            /// others meanwhile.
            pub fn release(self) -> $crate::Result<()> {
                let $guard { callbacks, inner } = self;
                drop(callbacks);
                $crate::blocking::block_on(inner.release())
            }
        }

        impl std::fmt::Debug for $guard {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.inner.fmt(formatter)
            }
        }
    };
}

pub(super) use guard;
