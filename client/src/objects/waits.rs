//! Who waits for what, and who holds what.

use super::{
    registry::{Objects, by_name},
    to_time,
};
use crate::{Result, call};
use bursar_proto::v1::{self, registry as wire};
use std::time::SystemTime;

/// Who waits for what, and who holds what, at one moment.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let lock = manager.lock("printer").create().await?;
/// let guard = lock.acquire().await?;
/// let waits = manager.objects().waits_of("printer").await?;
/// assert_eq!((waits.holdings[0].who.session, waits.holdings[0].token), (manager.session_id(), Some(guard.token())));
/// assert!(waits.waits.is_empty() && waits.cycles.is_empty());
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waits {
    /// Those who wait, longest first; at most 10,000.
    pub waits: Vec<Waiting>,
    /// Those who hold, longest first; at most 10,000. Of all objects, only of those that somebody waits for.
    pub holdings: Vec<Holding>,
    /// Sessions that wait for each other, through any objects: each wait is for an object that the next one's session holds, and the
    /// last for one of the first.
    pub cycles: Vec<Vec<Waiting>>,
    /// There is more than is shown.
    pub more: bool,
}

/// A call that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Who waits.
    pub who: Party,
    /// The name of the object.
    pub object: String,
    /// Its kind: `queue`, `lock`, ...
    pub kind: String,
    /// For what: `to acquire`, `an item`, ...
    pub what: String,
    /// Since when, by the broker's clock.
    pub since: SystemTime,
    /// Until when, by the broker's clock; `None`: for ever.
    pub deadline: Option<SystemTime>,
}

/// Something that a session holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holding {
    /// Who holds it.
    pub who: Party,
    /// The name of the object.
    pub object: String,
    /// Its kind: `queue`, `lock`, ...
    pub kind: String,
    /// What: `the lock`, `3 items`, ...
    pub what: String,
    /// Since when, by the broker's clock; `None`: not known.
    pub since: Option<SystemTime>,
    /// The token under which it is held; `None`: it has none.
    pub token: Option<u64>,
}

/// A session, and who it says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Party {
    /// The broker's number for the session.
    pub session: u64,
    /// What the client calls itself.
    pub label: String,
    /// Its process.
    pub pid: u32,
    /// The host of it.
    pub host: String,
}

impl Objects {
    /// Who waits for which object, who holds what is waited for, and who waits for each other in a circle.
    pub async fn waits(&self) -> Result<Waits> {
        self.ask_waits(None).await
    }

    /// Who waits for one object, and who holds it. Fault: `NoSuchObject`.
    pub async fn waits_of(&self, name: &str) -> Result<Waits> {
        self.ask_waits(by_name(name)).await
    }

    async fn ask_waits(&self, object: Option<v1::ObjectRef>) -> Result<Waits> {
        Ok(call::call(self.manager().session(), wire::WaitsRequest { object }).await?.into())
    }
}

impl From<wire::WaitsReply> for Waits {
    fn from(reply: wire::WaitsReply) -> Waits {
        let wire::WaitsReply { waits, holdings, cycles, more } = reply;
        let cycle = |wire::Cycle { waits }| waits.into_iter().map(Waiting::from).collect();
        Waits {
            waits: waits.into_iter().map(Waiting::from).collect(),
            holdings: holdings.into_iter().map(Holding::from).collect(),
            cycles: cycles.into_iter().map(cycle).collect(),
            more,
        }
    }
}

impl From<wire::Waiting> for Waiting {
    fn from(waiting: wire::Waiting) -> Waiting {
        let wire::Waiting { who, object, kind, what, since_ms, deadline_ms } = waiting;
        Waiting {
            who: who.unwrap_or_default().into(),
            object,
            kind,
            what,
            since: to_time(since_ms),
            deadline: known_time(deadline_ms),
        }
    }
}

impl From<wire::Holding> for Holding {
    fn from(holding: wire::Holding) -> Holding {
        let wire::Holding { who, object, kind, what, since_ms, token } = holding;
        Holding {
            who: who.unwrap_or_default().into(),
            object,
            kind,
            what,
            since: known_time(since_ms),
            token: (token > 0).then_some(token),
        }
    }
}

impl From<wire::Party> for Party {
    fn from(party: wire::Party) -> Party {
        let wire::Party { session, label, pid, host } = party;
        Party { session, label, pid, host }
    }
}

fn known_time(unix_ms: u64) -> Option<SystemTime> {
    (unix_ms > 0).then(|| to_time(unix_ms))
}
