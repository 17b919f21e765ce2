//! What a service is to who writes one, and the same without its type, for who starts it.

use crate::{Context, GRACEFUL_SHUTDOWN_TIMEOUT, Group};
use std::{pin::Pin, sync::Arc, time::Duration};

/// What starting, stopping, or a task comes to. Any error will do; `?` and `Err("text".into())` make one.
pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Something that starts and stops, and depends on others that do.
///
/// Who it is is decided by its `Arc`: the clones of one `Arc` are one service, and are started once.
pub trait Service: Send + Sync + 'static {
    /// What it is called in errors and in the log. Without a name of its own it is its type's.
    fn name(&self) -> String {
        short_name(std::any::type_name::<Self>())
    }

    /// What has to be up before it starts, and stops after it. Asked once for each [`crate::Stack`].
    fn dependencies(&self) -> Group {
        Group::none()
    }

    /// How long the end of its tasks and its `stop` may take together. An overrun is an error that names it.
    fn graceful_shutdown_timeout(&self) -> Duration {
        GRACEFUL_SHUTDOWN_TIMEOUT
    }

    /// Whether a start under way is waited for when the stack has to stop, and the service then stopped like every other. Otherwise
    /// the start is dropped at its next await, and `stop` is not called: what it had made so far goes with its variables.
    fn finishes_start(&self) -> bool {
        false
    }

    /// Starts it: it is up when this returns. What is to run on is given to [`Context::add_task`].
    ///
    /// When it fails, nothing starts any more, and what had started is stopped; its own `stop` is not called, its tasks are ended.
    fn start(self: Arc<Self>, context: Context) -> impl Future<Output = Outcome> + Send {
        let _ = context;
        async { Ok(()) }
    }

    /// Stops it. Called once, if the start has succeeded, when its tasks have ended; what it depends on is still up.
    fn stop(self: Arc<Self>) -> impl Future<Output = Outcome> + Send {
        async { Ok(()) }
    }
}

/// The last part of a type's path, without those of its parameters.
pub(crate) fn short_name(path: &str) -> String {
    let outer = path.split('<').next().unwrap_or(path);
    outer.rsplit("::").next().unwrap_or(outer).to_owned()
}

pub(crate) type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// [`Service`] without its type. It has all of its methods, under the same names.
pub(crate) trait Erased: Send + Sync {
    fn name(&self) -> String;
    fn dependencies(&self) -> Group;
    fn graceful_shutdown_timeout(&self) -> Duration;
    fn finishes_start(&self) -> bool;
    fn start(self: Arc<Self>, context: Context) -> Work;
    fn stop(self: Arc<Self>) -> Work;
}

impl<S: Service> Erased for S {
    fn name(&self) -> String {
        Service::name(self)
    }

    fn dependencies(&self) -> Group {
        Service::dependencies(self)
    }

    fn graceful_shutdown_timeout(&self) -> Duration {
        Service::graceful_shutdown_timeout(self)
    }

    fn finishes_start(&self) -> bool {
        Service::finishes_start(self)
    }

    fn start(self: Arc<Self>, context: Context) -> Work {
        Box::pin(Service::start(self, context))
    }

    fn stop(self: Arc<Self>) -> Work {
        Box::pin(Service::stop(self))
    }
}

#[cfg(test)]
mod tests {
    use super::short_name;

    #[test]
    fn a_type_is_named_by_the_last_part_of_its_path() {
        assert_eq!(short_name("a::b::Web"), "Web");
        assert_eq!(short_name("a::Web<b::Database>"), "Web");
    }
}
