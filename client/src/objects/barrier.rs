//! The barrier: a point that a fixed number of parties pass together, again and again.
//!
//! ```text
//!   filling ── the last party arrives ──► all pass; filling, next generation
//!      └── a party dies, gives up or times out, or abort ──► broken ── reset ──► filling, next generation
//! ```

use super::{
    Handle, Wanted,
    opened::{opened, opening},
    reference::travels,
};
use crate::{Result, Wait};
use bursar_proto::v1::barrier as wire;

/// A point that a fixed number of parties pass together, again and again; shared by every process that opens its name: Python's
/// `Barrier`.
///
/// A party that dies, gives up or times out while it waits would keep the others for ever. So it breaks the barrier: all who wait, and
/// who come later, get the fault `BarrierBroken`, until somebody [resets](Barrier::reset) it.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::Manager;
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let step = manager.barrier("step").parties(2).open_or_create().await?;
/// let (one, other) = futures_util::future::try_join(step.wait(), step.wait()).await?;
/// assert_eq!((one.index, other.index), (0, 1));
/// assert!(one.is_leader() && !other.is_leader());
/// assert_eq!(one.generation, other.generation);
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Barrier {
    handle: Handle,
}

opened!(Barrier);
travels!(Barrier, "barrier", Barrier::new);

/// What a barrier is to be, before it is opened. To create one, its [`parties`](Builder::parties) have to be said.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let barrier = manager.barrier("step").parties(8).create().await?;
/// assert_eq!(barrier.state().await?.parties, 8);
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder {
    wanted: Wanted,
    options: wire::Options,
}

opening!(Barrier, Barrier, wire::Options::default());

impl Builder {
    /// How many pass together: 1 to 100,000.
    pub fn parties(mut self, parties: u32) -> Builder {
        self.options.parties = parties;
        self
    }
}

/// One who passed the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BarrierParty {
    /// The place in the order of arrival: 0 came first.
    pub index: u32,
    /// How often the barrier was passed or reset before.
    pub generation: u64,
}

impl BarrierParty {
    /// True for exactly one party of each generation: for what is to be done once.
    pub fn is_leader(&self) -> bool {
        self.index == 0
    }
}

/// A barrier, as it was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// How many pass together.
    pub parties: u32,
    /// How many are there and wait: Python's `n_waiting`.
    pub waiting: u32,
    /// Whether nobody passes before a [reset](Barrier::reset).
    pub is_broken: bool,
    /// How often it was passed or reset.
    pub generation: u64,
}

impl Barrier {
    fn new(handle: Handle) -> Barrier {
        Barrier { handle }
    }

    /// Waits until all parties are there, and passes. Dropping the future is giving up: it breaks the barrier for all.
    ///
    /// Fault: `BarrierBroken`, when another party died, gave up or timed out, or somebody aborted or reset the barrier.
    pub async fn wait(&self) -> Result<BarrierParty> {
        self.wait_within(Wait::Forever).await
    }

    /// As [`Barrier::wait`], with a bound for the wait: when it is over, the barrier is broken for all, and this call, too, gets the
    /// fault `BarrierBroken`.
    pub async fn wait_within(&self, wait: impl Into<Wait>) -> Result<BarrierParty> {
        let request = wire::WaitRequest { object: self.handle.object(), wait_ms: wait.into().to_ms() };
        let wire::WaitReply { index, generation } = self.handle.call(request).await?;
        Ok(BarrierParty { index, generation })
    }

    /// Breaks it: all who wait, and who come later, get the fault `BarrierBroken`.
    pub async fn abort(&self) -> Result<()> {
        let wire::AbortReply {} = self.handle.call(wire::AbortRequest { object: self.handle.object() }).await?;
        Ok(())
    }

    /// Makes it whole and empty: who waits gets the fault `BarrierBroken`, who comes later begins anew.
    pub async fn reset(&self) -> Result<()> {
        let wire::ResetReply {} = self.handle.call(wire::ResetRequest { object: self.handle.object() }).await?;
        Ok(())
    }

    /// How many wait, and whether it is broken.
    pub async fn state(&self) -> Result<State> {
        let wire::GetReply { parties, waiting, broken, generation } =
            self.handle.call(wire::GetRequest { object: self.handle.object() }).await?;
        Ok(State { parties, waiting, is_broken: broken, generation })
    }
}
