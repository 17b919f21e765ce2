//! A broker that is put together in a program: configuration, keys, objects and kinds of the program's own.

use super::{Additions, Factory, Kind};
use crate::{Broker, ServeError, broker, config::Config};
use bursar::object::IntoService;
use bursar_proto::AuthKey;

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
    config: Config,
    keys: Vec<AuthKey>,
    additions: Additions,
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

    /// Starts the broker on the current runtime: it listens, and its objects are served, when this returns. Without an address it can be
    /// reached from within the process only ([`Broker::connector`]).
    pub async fn start(self) -> Result<Broker, ServeError> {
        let Builder { config, keys: mut own, additions } = self;
        let mut keys = broker::read_keys(&config)?;
        keys.append(&mut own);
        Broker::start_with(config, keys, additions).await
    }

    /// Runs the broker until SIGTERM or ctrl-c; a second signal stops it at once. Where no address or key was said, it takes those that
    /// `bursar serve` takes, and that clients look for: in the runtime directory.
    pub async fn serve(mut self) -> Result<(), ServeError> {
        broker::fill(&mut self.config, self.keys.is_empty())?;
        broker::serve_until_signal(self.start(), |addresses| {
            for address in addresses {
                tracing::info!(%address, "listening");
            }
        })
        .await
    }
}
