//! The barrier for threads.

use super::{
    block_on,
    opened::{opened, opening},
};
use crate::{
    BarrierParty, Result, Wait,
    barrier::{Builder, State},
};

/// What a barrier is to be, before it is opened: [`barrier::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct BarrierBuilder {
    inner: Builder,
}

opening!(BarrierBuilder, Barrier);

impl BarrierBuilder {
    /// See [`Builder::parties`].
    pub fn parties(self, parties: u32) -> BarrierBuilder {
        self.inner.parties(parties).into()
    }
}

/// A point that a fixed number of parties pass together: [`bursar::Barrier`](crate::Barrier) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::blocking::Manager;
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let step = manager.barrier("step").parties(3).open_or_create()?;
/// std::thread::scope(|scope| {
///     let parties = [(); 3].map(|()| scope.spawn(|| step.wait()));
///     let leaders = parties.map(|party| party.join().unwrap().unwrap()).into_iter().filter(|party| party.is_leader());
///     assert_eq!(leaders.count(), 1);
/// });
/// # Ok::<(), bursar::Error>(())
/// ```
#[derive(Clone)]
pub struct Barrier {
    inner: crate::Barrier,
}

opened!(Barrier);

impl Barrier {
    /// Waits until all parties are there, and passes. Fault: `BarrierBroken`. See [`bursar::Barrier::wait`](crate::Barrier::wait).
    pub fn wait(&self) -> Result<BarrierParty> {
        block_on(self.inner.wait())
    }

    /// As [`Barrier::wait`], with a bound for the wait: when it is over, the barrier is broken for all.
    pub fn wait_within(&self, wait: impl Into<Wait>) -> Result<BarrierParty> {
        block_on(self.inner.wait_within(wait))
    }

    /// Breaks it: all who wait, and who come later, get the fault `BarrierBroken`.
    pub fn abort(&self) -> Result<()> {
        block_on(self.inner.abort())
    }

    /// Makes it whole and empty: who waits gets the fault `BarrierBroken`, who comes later begins anew.
    pub fn reset(&self) -> Result<()> {
        block_on(self.inner.reset())
    }

    /// How many wait, and whether it is broken.
    pub fn state(&self) -> Result<State> {
        block_on(self.inner.state())
    }
}
