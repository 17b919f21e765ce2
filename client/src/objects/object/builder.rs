//! What an object of one's own is to be, and how it is opened.

use super::{Object, wire};
use crate::{Fault, Manager, Result, objects::Wanted};
use bursar_proto::v1::registry::{Mode, options::Kind};

/// What an object is to be, before it is opened. Who serves it need not open it: see [`Manager::serve`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder {
    wanted: Wanted,
    options: wire::Options,
    waits_for_provider: bool,
}

impl Builder {
    pub(crate) fn new(manager: Manager, name: &str) -> Builder {
        Builder { wanted: Wanted::new(manager, name), options: wire::Options::default(), waits_for_provider: false }
    }

    /// Where nobody serves a method, its calls wait until somebody does; and [`open`](Builder::open) creates the object, if there is none of
    /// the name yet: so callers may come before their provider.
    pub fn wait_for_provider(mut self) -> Builder {
        self.waits_for_provider = true;
        self
    }

    /// One call at a time, whatever the methods say and however many serve the object.
    pub fn serial(mut self) -> Builder {
        self.options.serial = true;
        self
    }

    /// An object of a kind that the broker's program brought along, by its name: the broker itself carries its calls out. The other
    /// options do not go with it. An unknown one is a `BadArgument`.
    pub fn kind(mut self, name: impl Into<String>) -> Builder {
        self.options.kind = name.into();
        self
    }

    /// At most so many calls that wait or run (`TooManyCalls`). The default is 50,000.
    pub fn max_calls(mut self, calls: u64) -> Builder {
        self.options.max_calls = calls;
        self
    }

    /// At most so many bytes of the arguments of these (`TooManyBytes`), and of items that are not read. The default is 64 MiB.
    pub fn max_bytes(mut self, bytes: u64) -> Builder {
        self.options.max_bytes = bytes;
        self
    }

    /// At most so many calls of one caller that wait or run. The default is 10,000.
    pub fn max_calls_per_session(mut self, calls: u64) -> Builder {
        self.options.max_calls_per_session = calls;
        self
    }

    /// The object goes with the last handle of it, in whichever session that is.
    pub fn ephemeral(mut self) -> Builder {
        self.wanted.ephemeral = true;
        self
    }

    /// Opens the object, and creates it if no object has the name. Fault: `Mismatch`, when an object has the name and is of another
    /// kind or has other options.
    pub async fn open_or_create(self) -> Result<Object> {
        self.ask(Mode::OpenOrCreate).await
    }

    /// Creates the object. Faults: `AlreadyExists`; `BadArgument`, when an option is out of its range.
    pub async fn create(self) -> Result<Object> {
        self.ask(Mode::Create).await
    }

    /// Opens the object as it is, whatever its options. Faults: `NoSuchObject`, which does not come if its calls
    /// [wait for a provider](Builder::wait_for_provider); `Mismatch`, when it is of another kind.
    pub async fn open(self) -> Result<Object> {
        let absent = self.waits_for_provider.then(|| self.clone());
        match (self.ask(Mode::Open).await, absent) {
            (Err(error), Some(absent)) if matches!(error.fault(), Some(Fault::NoSuchObject { .. })) => {
                absent.open_or_create().await
            }
            (outcome, _) => outcome,
        }
    }

    /// As [`Builder::open`], and calls have the names and types of a trait.
    pub async fn open_as<C: Client>(self) -> Result<C> {
        self.open().await.map(C::from)
    }

    async fn ask(self, mode: Mode) -> Result<Object> {
        let handle = self.wanted.open(mode, Kind::Object(self.options)).await?;
        Ok(Object::new(handle, self.waits_for_provider))
    }
}

/// A client of a trait with the attribute [`shared`](crate::shared): what calls an object by the names and types of the trait.
pub trait Client: From<Object> {
    /// The object that it calls.
    fn as_object(&self) -> &Object;

    /// Opens the object of this name. Faults: `NoSuchObject`; `Mismatch`, when it is of another kind.
    fn open(manager: &Manager, name: &str) -> impl Future<Output = Result<Self>> + Send {
        manager.object(name).open_as()
    }
}
