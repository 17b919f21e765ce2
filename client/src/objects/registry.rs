//! The names: which objects there are.

use super::to_time;
use crate::{Manager, Result, call};
use bursar_proto::v1::{self, registry as wire};
use std::{collections::BTreeMap, time::SystemTime};

/// Which objects there are.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let _: bursar::Queue<u32> = manager.queue("team/jobs").create().await?;
/// let objects = manager.objects();
/// assert_eq!(objects.list("team/").await?[0].name, "team/jobs");
/// assert_eq!(objects.describe("team/jobs").await?.kind, "queue");
/// objects.delete("team/jobs").await?;
/// assert!(objects.list("").await?.is_empty());
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Objects {
    manager: Manager,
}

/// Which objects to list. Text is a prefix of the name: `objects.list("team/")`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Names that begin like this; empty for all.
    pub prefix: String,
    /// `queue` or `kv`; empty for all.
    pub kind: String,
}

impl From<&str> for ListFilter {
    fn from(prefix: &str) -> ListFilter {
        ListFilter { prefix: prefix.to_owned(), kind: String::new() }
    }
}

/// One object, as the broker sees it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Tells it from earlier and later objects of the same name.
    pub epoch: u64,
    /// `queue`, `kv`, ...
    pub kind: String,
    /// Its options with every default written out, in the form of the wire.
    pub options: v1::registry::Options,
    /// It goes when the last session that opened it ends, or has no use for it any more.
    pub ephemeral: bool,
    /// When it was created.
    pub created: SystemTime,
    /// Calls that wait at it.
    pub waiting: u64,
    /// What the kind says of itself, in its own numbers (a queue: ready, leased, ...).
    pub figures: BTreeMap<String, u64>,
}

impl From<wire::Described> for Described {
    fn from(described: wire::Described) -> Described {
        let wire::Described { name, epoch, kind, options, ephemeral, created_ms, waiting, figures } = described;
        Described {
            name,
            epoch,
            kind,
            options: options.unwrap_or_default(),
            ephemeral,
            created: to_time(created_ms),
            waiting,
            figures: figures.into_iter().collect(),
        }
    }
}

impl Objects {
    pub(crate) fn new(manager: Manager) -> Objects {
        Objects { manager }
    }

    pub(super) fn manager(&self) -> &Manager {
        &self.manager
    }

    /// The objects that match, by name. What is created or deleted meanwhile may be in the list or not.
    pub async fn list(&self, filter: impl Into<ListFilter>) -> Result<Vec<Described>> {
        let ListFilter { prefix, kind } = filter.into();
        let mut objects: Vec<Described> = Vec::new();
        loop {
            let after = objects.last().map_or(String::new(), |last| last.name.clone());
            let request = wire::ListRequest { prefix: prefix.clone(), kind: kind.clone(), after, limit: 0 };
            let wire::ListReply { objects: page, more } = call::call(self.manager.session(), request).await?;
            let is_last = !more || page.is_empty();
            objects.extend(page.into_iter().map(Described::from));
            if is_last {
                return Ok(objects);
            }
        }
    }

    /// One object. Fault: `NoSuchObject`.
    pub async fn describe(&self, name: &str) -> Result<Described> {
        let request = wire::DescribeRequest { object: by_name(name) };
        let wire::DescribeReply { object } = call::call(self.manager.session(), request).await?;
        object.map(Described::from).ok_or_else(|| crate::Error::protocol("objects.describe: a reply without an object"))
    }

    /// Deletes whichever object has the name, with everything in it. Calls that wait at it fail with `Gone`, and so do later calls
    /// through handles of it. Fault: `NoSuchObject`.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let request = wire::DeleteRequest { object: by_name(name) };
        let wire::DeleteReply {} = call::call(self.manager.session(), request).await?;
        Ok(())
    }
}

pub(super) fn by_name(name: &str) -> Option<v1::ObjectRef> {
    Some(v1::ObjectRef { name: name.to_owned(), epoch: 0 })
}
