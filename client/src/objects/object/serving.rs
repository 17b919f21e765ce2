//! Serving an object: what is decided before, and the guard that ends it.
//!
//! ```text
//!   serving ── stop ──► takes no more calls ──► those that run are answered ──► withdrawn
//!      ├────── dropped ──► those that run are dropped ──► withdrawn
//!      └────── the object is deleted, the session lost, the broker stopped ──► over: see `Serving::ended`
//! ```

use super::{
    IntoService, Service,
    crew::Crew,
    driver::{Driver, Stop},
    errand::Paces,
    link::Link,
    wire,
};
use crate::{Error, Fault, Manager, Result, SessionEnded, objects::Wanted};
use bursar_proto::v1::registry::{Mode, options::Kind};
use std::{fmt, sync::Arc};
use tokio::sync::{oneshot, watch};

/// Calls at once, where nothing is said. Enough that a method which waits for something does not keep others from beginning, and few enough
/// that several providers share the load, as whoever has the most free capacity gets the next call.
const CAPACITY: u32 = 256;

/// How an object is to be served. See [`Manager::serve`].
#[must_use = "nothing happens before start"]
pub struct Serve {
    wanted: Wanted,
    options: wire::Options,
    service: Arc<dyn Service>,
    capacity: u32,
    crew: Option<Crew>,
}

impl Serve {
    pub(crate) fn new<C>(manager: Manager, name: &str, object: impl IntoService<C>) -> Serve {
        let (wanted, service) = (Wanted::new(manager, name), object.into_service());
        Serve { wanted, options: wire::Options::default(), service, capacity: CAPACITY, crew: None }
    }

    /// So many calls at once, 1 to 65,536; the default is 256. What is more waits at the broker, or goes to another provider.
    pub fn capacity(mut self, calls: u32) -> Serve {
        self.capacity = calls;
        self
    }

    /// One call at a time, whatever the methods say and however many serve the object. It is an option of the object: whoever else serves
    /// it has to say so, too.
    pub fn serial(mut self) -> Serve {
        self.options.serial = true;
        self
    }

    /// At most so many calls that wait or run (`TooManyCalls`). The default is 50,000.
    pub fn max_calls(mut self, calls: u64) -> Serve {
        self.options.max_calls = calls;
        self
    }

    /// At most so many bytes of the arguments of these (`TooManyBytes`), and of items that are not read. The default is 64 MiB.
    pub fn max_bytes(mut self, bytes: u64) -> Serve {
        self.options.max_bytes = bytes;
        self
    }

    /// At most so many calls of one caller that wait or run. The default is 10,000.
    pub fn max_calls_per_session(mut self, calls: u64) -> Serve {
        self.options.max_calls_per_session = calls;
        self
    }

    /// The object goes with the last handle of it, in whichever session that is.
    pub fn ephemeral(mut self) -> Serve {
        self.wanted.ephemeral = true;
        self
    }

    /// In threads of its own, where methods may block.
    pub(crate) fn in_threads(mut self) -> Serve {
        self.crew = Some(Crew::of_threads());
        self
    }

    /// Begins to serve. The object is created if there is none of this name; if there is one, and nothing was said here of its options, it is
    /// served as it is.
    ///
    /// Methods run in tasks on the tokio runtime that this is called in, and must not block it; called from outside of one, each call that is
    /// under way has a thread, which it may block.
    ///
    /// Errors: [`Error::Thread`]. Faults: `Mismatch`, when the object is of another kind, has other options, or is served by somebody who
    /// says something else of its methods; `BadArgument`, when the description is wrong; `LimitReached`.
    pub async fn start(self) -> Result<Serving> {
        let Serve { wanted, options, service, capacity, crew } = self;
        let crew = crew.unwrap_or_else(Crew::here);
        let handle = open(wanted, options).await?;
        let paces = Paces::of(&*service);
        start(Arc::new(handle), service, capacity, crew, paces).await
    }
}

/// As it is, if nobody says what it should be.
async fn open(wanted: Wanted, options: wire::Options) -> Result<crate::objects::Handle> {
    if options == wire::Options::default() {
        match wanted.clone().open(Mode::Open, Kind::Object(options.clone())).await {
            Err(error) if matches!(error.fault(), Some(Fault::NoSuchObject { .. })) => {}
            outcome => return outcome,
        }
    }
    wanted.open(Mode::OpenOrCreate, Kind::Object(options)).await
}

impl fmt::Debug for Serve {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.wanted.name;
        formatter
            .debug_struct("Serve")
            .field("name", name)
            .field("options", &self.options)
            .field("capacity", &self.capacity)
            .finish()
    }
}

/// For a service within the broker, which reaches it by another way than a session.
#[doc(hidden)]
pub async fn serve_over(link: Arc<dyn Link>, service: Arc<dyn Service>, capacity: u32, paces: Paces) -> Result<Serving> {
    start(link, service, capacity, Crew::here(), paces).await
}

async fn start(link: Arc<dyn Link>, service: Arc<dyn Service>, capacity: u32, crew: Crew, paces: Paces) -> Result<Serving> {
    let name = link.name().to_owned();
    let request = wire::ProvideRequest { object: None, description: Some(service.description()), capacity };
    let provider = link.provide(request).await?.provider;
    let driver = Driver::new(service, link, provider, capacity, crew.clone(), paces);
    let (stop, stopped) = oneshot::channel();
    let (tell, ended) = watch::channel(None);
    let run = async move {
        let outcome = driver.run(stopped).await;
        match &outcome {
            // What somebody wanted so.
            Err(error) if matches!(error.fault(), Some(Fault::Gone { .. } | Fault::ShuttingDown {})) => {
                tracing::debug!(%error, "an object is not served any more");
            }
            Err(error) => tracing::warn!(%error, "an object is not served any more"),
            Ok(()) => {}
        }
        tell.send_replace(Some(outcome.map_err(Arc::new)));
    };
    crew.lead(run)?;
    Ok(Serving { name, provider, stop: Some(stop), ended })
}

/// An object that is being served, as long as this lives. Dropping it withdraws at once: calls that run are dropped, and go to another
/// provider or fail; [`Serving::stop`] leaves in peace.
///
/// It keeps the session alive, as every handle does, and survives lost connections with it.
#[must_use = "a dropped serving has ended"]
pub struct Serving {
    name: String,
    provider: u64,
    /// Dropped with this, which ends the driver. `None`: it was told to stop.
    stop: Option<oneshot::Sender<Stop>>,
    ended: watch::Receiver<Option<Result<(), Arc<Error>>>>,
}

impl Serving {
    /// The object's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The broker's number for this provider of the object.
    pub fn provider(&self) -> u64 {
        self.provider
    }

    /// Takes no more calls, waits for those that run, and withdraws. If the future is dropped, that goes on by itself. The error is the one
    /// by which it had ended before, if it had. Not from within one of its methods, which would wait for itself.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(Stop);
        }
        match self.ended().await {
            Some(error) => Err(error.again()),
            None => Ok(()),
        }
    }

    /// Waits until it has ended by itself, and gives the error: [`Error::Lost`] with the session; the faults `Gone`, when the object was
    /// deleted, and `ShuttingDown`.
    pub async fn ended(&self) -> Option<Arc<Error>> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.as_ref().and_then(|outcome| outcome.as_ref().err().cloned()),
            Err(_) => Some(Arc::new(Error::Lost(SessionEnded::new("the runtime of its methods has stopped")))),
        }
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.ended.borrow().is_some() || self.ended.has_changed().is_err()
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Serving").field("name", &self.name).field("provider", &self.provider).finish()
    }
}
