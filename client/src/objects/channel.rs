//! The channel: two ends, each of which sends and receives.
//!
//! ```text
//!   End A ── send ──► waits at the broker ──► receive, or on_receive ── End B
//!         ◄────────────────────────────────────────────── send ──
//! ```

mod builder;
mod end;
mod listener;
mod stats;
mod uri;

pub use builder::Builder;
pub use end::End;
pub use listener::Listener;
pub use stats::{EndStats, Stats};
pub use uri::{EndUri, UriError};

use super::{Handle, reference::travels};
use crate::{Manager, Raw, Result};
use bursar_proto::v1::channel as wire;
use std::{fmt, marker::PhantomData};

/// A named line between two ends, of messages of one type (in practice an enum), in both directions at once.
///
/// What is sent from one end waits at the broker, in order, until somebody at the other end is done with it; so it survives the death
/// of the process that had it, and goes to its successor. Of those that actively [`receive`](End::receive) at an end one gets a
/// message; every callback ([`End::on_receive`]) whose filter it meets gets it too. Without anybody it waits.
///
/// Handles are cheap to clone. After the object was deleted, calls fail with the fault `Gone`, also when its name was created anew.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::{Channel, Manager};
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let talk: Channel<String> = manager.channel("talk").open_or_create().await?;
/// let (mut a, mut b) = (talk.a(), talk.b());
/// a.send("hello".to_owned()).await?;
/// assert_eq!(b.receive().await?, "hello");
/// b.send("who is it?".to_owned()).await?;
/// assert_eq!(a.receive().await?, "who is it?");
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct Channel<T = Raw> {
    handle: Handle,
    values: PhantomData<fn(T) -> T>,
}

travels!(Channel<T>, "channel", |handle| Channel { handle, values: PhantomData });

impl<T> Clone for Channel<T> {
    fn clone(&self) -> Channel<T> {
        Channel { handle: self.handle.clone(), values: PhantomData }
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Channel").field("name", &self.name()).field("epoch", &self.epoch()).finish()
    }
}

/// One of the two ends. Which process has which is their agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one.
    A,
    /// The other.
    B,
}

impl Side {
    /// The end that gets what this one sends.
    ///
    /// ```
    /// use bursar::channel::Side;
    /// assert_eq!(Side::A.other(), Side::B);
    /// ```
    pub fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

impl Side {
    /// Its letter.
    pub(super) fn letter(self) -> &'static str {
        match self {
            Side::A => "a",
            Side::B => "b",
        }
    }

    pub(super) fn of_letter(letter: &str) -> Option<Side> {
        match letter {
            "a" => Some(Side::A),
            "b" => Some(Side::B),
            _ => None,
        }
    }
}

impl From<Side> for wire::End {
    fn from(side: Side) -> wire::End {
        match side {
            Side::A => wire::End::A,
            Side::B => wire::End::B,
        }
    }
}

impl<T> Channel<T> {
    /// The name.
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// Tells this object from earlier and later ones of the same name.
    pub fn epoch(&self) -> u64 {
        self.handle.epoch()
    }

    /// Whether the opening of this handle created the object.
    pub fn was_created(&self) -> bool {
        self.handle.created()
    }

    /// The session through which it was opened.
    pub fn manager(&self) -> &Manager {
        self.handle.manager()
    }

    /// One end. Any number of handles on it may exist, in any number of processes.
    pub fn end(&self, side: Side) -> End<T> {
        End::new(&self.handle, side)
    }

    /// End A.
    pub fn a(&self) -> End<T> {
        self.end(Side::A)
    }

    /// End B.
    pub fn b(&self) -> End<T> {
        self.end(Side::B)
    }

    /// How much waits at each end, and who receives there.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let talk = manager.channel::<u32>("talk").create().await?;
    /// talk.a().send(7).await?;
    /// let stats = talk.stats().await?;
    /// assert_eq!((stats.a.waiting, stats.b.waiting, stats.b.active), (0, 1, 0));
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn stats(&self) -> Result<Stats> {
        let request = wire::StatsRequest { object: self.handle.object() };
        Ok(self.handle.call(request).await?.into())
    }
}
