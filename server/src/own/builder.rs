//! A broker that is put together in a program: configuration, keys, objects, kinds and services of the program's own.

use super::{Additions, Factory, Kind};
use crate::{
    Broker, ServeError, broker,
    config::Config,
    lifecycle::{self, Node},
};
use bursar::object::IntoService;
use bursar_proto::AuthKey;
use std::sync::Arc;

/// What a broker is to be, before it starts. See [`Broker::builder`].
///
/// ```
/// use bursar::object::{Answer, Answering, Call, Description, Method, Service};
/// use bursar_server::{Broker, own::Factory};
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
///
/// #[derive(Default)]
/// struct Tally(AtomicU64);
///
/// impl Service for Tally {
///     fn description(&self) -> Description {
///         let next = Method { name: "next".into(), result: "integer".into(), ..Method::default() };
///         Description { doc: "Counts its calls.".into(), methods: vec![next] }
///     }
///
///     fn call(self: Arc<Self>, _call: Call) -> Answering {
///         Box::pin(async move { Answer::of(&self.0.fetch_add(1, Ordering::Relaxed)) })
///     }
/// }
///
/// # async fn serve() -> Result<(), bursar_server::ServeError> {
/// Broker::builder()
///     .register("visits", Arc::new(Tally::default()))
///     .register_factory("tally", Factory::new(|_| Ok(Arc::new(Tally::default()))))
///     .serve()
///     .await
/// # }
/// ```
#[derive(Default)]
#[must_use = "nothing happens before start or serve"]
pub struct Builder {
    pub(super) config: Config,
    keys: Vec<AuthKey>,
    pub(super) additions: Additions,
}

impl Builder {
    /// Where to listen, limits, objects that exist from the start. An object that is declared there under a name that is registered here
    /// gives that one its options.
    pub fn config(mut self, config: Config) -> Builder {
        self.config = config;
        self
    }

    /// A key that is accepted, besides those of the configuration.
    pub fn key(mut self, key: AuthKey) -> Builder {
        self.keys.push(key);
        self
    }

    /// An object that this process serves, under a name, as long as the broker runs. Its methods run in tasks on the runtime of the
    /// broker, and must not block it; dropping a call drops the method's future, and a panic fails that call only.
    pub fn register<C>(mut self, name: impl Into<String>, object: impl IntoService<C>) -> Builder {
        self.additions.add_object(name.into(), object.into_service());
        self
    }

    /// Objects that are made when somebody asks for one: the object of this name has a method `create`, which gives a handle of a new
    /// one. That one is dropped with its last handle, in whichever sessions those are.
    pub fn register_factory(mut self, name: impl Into<String>, factory: Factory) -> Builder {
        self.additions.add_factory(name.into(), factory);
        self
    }

    /// A kind of one's own: objects whose option `kind` is its name are of it.
    pub fn kind<K: Kind>(mut self) -> Builder {
        self.additions.add_kind::<K>();
        self
    }

    /// A service of the program's own, on top of the broker: with all it depends on it starts when the broker can be reached and its objects
    /// are served, and has stopped before clients are told that the broker goes. Several are started side by side. When one fails, the
    /// broker stops; by [`lifecycle::Context::request_stop`] it can ask for that.
    ///
    /// ```
    /// use bursar_server::{Broker, lifecycle::{Context, Outcome, Service}};
    /// use std::sync::Arc;
    ///
    /// struct Cleaner;
    ///
    /// impl Service for Cleaner {
    ///     async fn start(self: Arc<Self>, context: Context) -> Outcome {
    ///         context.add_task("sweep", async { std::future::pending().await });
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # async fn serve() -> Result<(), bursar_server::ServeError> {
    /// Broker::builder().service(&Arc::new(Cleaner)).serve().await
    /// # }
    /// ```
    pub fn service<S: lifecycle::Service>(mut self, service: &Arc<S>) -> Builder {
        self.additions.add_service(Node::from(service));
        self
    }

    /// Starts the broker on the current runtime: it listens, and its objects are served, when this returns. Without an address it can be
    /// reached from within the process only ([`Broker::connector`]).
    pub async fn start(self) -> Result<Broker, ServeError> {
        let keys = self.all_keys()?;
        Broker::start_with(self.config, keys, self.additions).await
    }

    /// Runs the broker until SIGTERM or ctrl-c; a second signal stops it at once. Where no address or key was said, it takes those that
    /// `bursar serve` takes, and that clients look for: in the runtime directory.
    ///
    /// An error: it could not be started, or something of it failed. That it was told to stop is none. Under systemd the program may be a
    /// unit with `Type=notify`.
    pub async fn serve(mut self) -> Result<(), ServeError> {
        broker::fill(&mut self.config, true, self.keys.is_empty())?;
        let keys = self.all_keys()?;
        broker::serve_with(self.config, keys, self.additions, Vec::new(), |addresses| {
            for address in addresses {
                tracing::info!(%address, "listening");
            }
        })
        .await
    }

    /// Those of the configuration first.
    fn all_keys(&self) -> Result<Vec<AuthKey>, ServeError> {
        Ok([broker::read_keys(&self.config)?, self.keys.clone()].concat())
    }
}
