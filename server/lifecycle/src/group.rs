//! What a service depends on, as it writes it down: services one after the other, side by side, and any nesting of the two.

use crate::{
    Service,
    service::{Erased, Work},
};
use std::{fmt, sync::Arc, time::Duration};

/// A service without its type, where services of many types stand in one list.
#[derive(Clone)]
pub struct Node(Arc<dyn Erased>);

/// Services in the order in which they start; they stop in the reverse. Made by [`sequence!`](crate::sequence) and
/// [`parallel!`](crate::parallel), or out of lists by [`Group::sequence`] and [`Group::parallel`].
///
/// A service that stands at several places is started at the first of them. At the others it is up already, or waited for.
#[derive(Clone, Debug)]
pub struct Group(pub(crate) Shape);

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    One(Node),
    Sequence(Vec<Group>),
    Parallel(Vec<Group>),
}

/// One after the other: `sequence![&self.database, parallel![&self.cache, &self.mail]]`.
#[macro_export]
macro_rules! sequence {
    ($($part:expr),* $(,)?) => { $crate::Group::sequence::<$crate::Group>(vec![$($crate::Group::from($part)),*]) };
}

/// Side by side: `parallel![&self.cache, sequence![&self.database, &self.mail]]`.
#[macro_export]
macro_rules! parallel {
    ($($part:expr),* $(,)?) => { $crate::Group::parallel::<$crate::Group>(vec![$($crate::Group::from($part)),*]) };
}

impl Group {
    /// No service at all.
    pub fn none() -> Group {
        Group(Shape::Sequence(Vec::new()))
    }

    /// One after the other.
    pub fn sequence<G: Into<Group>>(parts: impl IntoIterator<Item = G>) -> Group {
        Group(Shape::Sequence(parts.into_iter().map(Into::into).collect()))
    }

    /// Side by side.
    pub fn parallel<G: Into<Group>>(parts: impl IntoIterator<Item = G>) -> Group {
        Group(Shape::Parallel(parts.into_iter().map(Into::into).collect()))
    }
}

impl<S: Service> From<&Arc<S>> for Group {
    fn from(service: &Arc<S>) -> Group {
        Group(Shape::One(service.into()))
    }
}

impl From<&Node> for Group {
    fn from(node: &Node) -> Group {
        Group(Shape::One(node.clone()))
    }
}

impl<S: Service> From<&Arc<S>> for Node {
    fn from(service: &Arc<S>) -> Node {
        Node(service.clone())
    }
}

impl Node {
    /// What the service is called.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// The same for all clones of one `Arc`. Two services never share it, not even empty ones: an `Arc` counts where they lie.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).cast::<()>().addr()
    }

    pub(crate) fn dependencies(&self) -> Group {
        self.0.dependencies()
    }

    pub(crate) fn graceful_shutdown_timeout(&self) -> Duration {
        self.0.graceful_shutdown_timeout()
    }

    pub(crate) fn finishes_start(&self) -> bool {
        self.0.finishes_start()
    }

    pub(crate) fn start(&self, context: crate::Context) -> Work {
        self.0.clone().start(context)
    }

    pub(crate) fn stop(&self) -> Work {
        self.0.clone().stop()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Node").field(&self.name()).finish()
    }
}
