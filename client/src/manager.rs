//! The way in: connecting, and the handle from which every object is opened.

use crate::{
    AuthKey, Error, Payload, Raw, Result, SessionEnded,
    connect::{Connector, Target},
    environment,
    objects::{
        array, barrier, channel, condition, counter, event, kv, latch, list, lock, namespace, object, queue, registry::Objects,
        rwlock, semaphore, topic,
    },
    processes::Processes,
    session::{self, Config, Session},
};
use bursar_proto::{Address, AddressError, KeyError, limits, v1};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// A connection to a broker, and the session that holds what this program has leased, bound and waits for.
///
/// A thread of its own keeps the session alive: it beats, reconnects after a lost connection and resumes the session, so that calls
/// in flight get their one answer. Only when that takes longer than the session's ttl is the session [`State::Lost`]. Every call
/// works on any executor, because it awaits nothing but its answer.
///
/// Clones are handles to the same session. When the last one is gone, handles of objects and leases included, the session is closed
/// in the background; [`Manager::close`] does it and waits.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::{Manager, Queue};
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let queue: Queue<String> = manager.queue("jobs").open_or_create().await?;
/// queue.put("hello".to_owned()).await?;
/// let lease = queue.get().await?;
/// assert_eq!(*lease, "hello");
/// lease.done().await?;
/// queue.join().await?;
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Manager {
    handle: Arc<Handle>,
}

/// Closes the session when the last owner is gone.
struct Handle {
    session: Arc<Session>,
    target: Target,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.session.close();
    }
}

/// Whether the session can be relied upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Calls reach the broker.
    Connected,
    /// The connection is lost and being made again; calls wait. What is held stays held until [`Manager::valid_until`].
    Suspended,
    /// The session is over and everything it held went back. Connect a new [`Manager`].
    Lost,
}

impl Manager {
    /// Connects to the broker at an address, such as `unix:///run/bursar.sock` or `tcp://127.0.0.1:7878`, with the key that the
    /// broker knows. Waits at most 5 s; [`Manager::builder`] has every other choice.
    ///
    /// Errors: [`Error::Address`], [`Error::Unreachable`], [`Error::UnsafeDirectory`], [`Error::WrongKey`],
    /// [`Error::BrokerNotGenuine`].
    pub async fn connect(address: impl IntoAddress, authkey: AuthKey) -> Result<Manager> {
        Manager::builder().address(address)?.authkey(authkey).connect().await
    }

    /// Connects as the environment says: `BURSAR_ADDRESS`; the key in the file `BURSAR_AUTHKEY_FILE` or in the inherited descriptor
    /// `BURSAR_AUTHKEY_FD`; its id in `BURSAR_KEY_ID`, if it is not `default`.
    ///
    /// Errors: [`Error::Setting`] says which variable is missing or wrong; [`Error::NoKey`]; and all of [`Manager::connect`].
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), bursar::Error> {
    /// let manager = bursar::Manager::from_env().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn from_env() -> Result<Manager> {
        Manager::builder().from_env()?.connect().await
    }

    /// All choices of a connection.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(session: Arc<Session>, config: &Config) -> Manager {
        Manager { handle: Arc::new(Handle { session, target: config.target.clone() }) }
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.handle.session
    }

    /// Names a queue of items of one type; nothing happens before one of the builder's `open` verbs.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let queue: bursar::Queue<u32> = manager.queue("numbers").maxsize(100).create().await?;
    /// assert_eq!(queue.put(7).await?, 1);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn queue<T: Payload>(&self, name: &str) -> queue::Builder<T> {
        queue::Builder::new(self.clone(), name)
    }

    /// Names a queue whose payloads stay bytes.
    pub fn raw_queue(&self, name: &str) -> queue::Builder<Raw> {
        self.queue(name)
    }

    /// Names a key-value store of values of one type; nothing happens before one of the builder's `open` verbs.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let settings: bursar::Kv<String> = manager.kv("settings").open_or_create().await?;
    /// settings.put("color", "red".to_owned()).await?;
    /// assert_eq!(settings.get("color").await?.as_deref(), Some("red"));
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn kv<V: Payload>(&self, name: &str) -> kv::Builder<V> {
        kv::Builder::new(self.clone(), name)
    }

    /// Names a key-value store whose values stay bytes.
    pub fn raw_kv(&self, name: &str) -> kv::Builder<Raw> {
        self.kv(name)
    }

    /// Names a lock; nothing happens before one of the builder's `open` verbs. See [`Lock`](crate::Lock).
    pub fn lock(&self, name: &str) -> lock::Builder {
        lock::Builder::new(self.clone(), name)
    }

    /// Names a lock for many readers or one writer. See [`RwLock`](crate::RwLock).
    pub fn rwlock(&self, name: &str) -> rwlock::Builder {
        rwlock::Builder::new(self.clone(), name)
    }

    /// Names a semaphore. See [`Semaphore`](crate::Semaphore).
    pub fn semaphore(&self, name: &str) -> semaphore::Builder {
        semaphore::Builder::new(self.clone(), name)
    }

    /// Names a condition. See [`Condition`](crate::Condition).
    pub fn condition(&self, name: &str) -> condition::Builder {
        condition::Builder::new(self.clone(), name)
    }

    /// Names an event. See [`Event`](crate::Event).
    pub fn event(&self, name: &str) -> event::Builder {
        event::Builder::new(self.clone(), name)
    }

    /// Names a latch. See [`Latch`](crate::Latch).
    pub fn latch(&self, name: &str) -> latch::Builder {
        latch::Builder::new(self.clone(), name)
    }

    /// Names a barrier. See [`Barrier`](crate::Barrier).
    pub fn barrier(&self, name: &str) -> barrier::Builder {
        barrier::Builder::new(self.clone(), name)
    }

    /// Names a counter. See [`Counter`](crate::Counter).
    pub fn counter(&self, name: &str) -> counter::Builder {
        counter::Builder::new(self.clone(), name)
    }

    /// Names a list of values of one type; nothing happens before one of the builder's `open` verbs.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let names: bursar::List<String> = manager.list("names").open_or_create().await?;
    /// assert_eq!(names.append("Ada".to_owned()).await?, 1);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn list<T: Payload>(&self, name: &str) -> list::Builder<T> {
        list::Builder::new(self.clone(), name)
    }

    /// Names a list whose values stay bytes.
    pub fn raw_list(&self, name: &str) -> list::Builder<Raw> {
        self.list(name)
    }

    /// Names an array of numbers of one type; nothing happens before one of the builder's `open` verbs.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let hits: bursar::Array<u64> = manager.array("hits").length(7).open_or_create().await?;
    /// assert_eq!(hits.add(0, 1).await?, 1);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn array<N: array::Number>(&self, name: &str) -> array::Builder<N> {
        array::Builder::new(self.clone(), name)
    }

    /// Names a namespace: names with values of any types. Nothing happens before one of the builder's `open` verbs. What stands under
    /// its name is a key-value store.
    pub fn namespace(&self, name: &str) -> namespace::Builder {
        namespace::Builder::new(self.clone(), name)
    }

    /// Names a channel of messages of one type; nothing happens before one of the builder's `open` verbs.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let talk: bursar::Channel<String> = manager.channel("talk").open_or_create().await?;
    /// talk.a().send("hello".to_owned()).await?;
    /// assert_eq!(talk.b().receive().await?, "hello");
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn channel<T: Payload>(&self, name: &str) -> channel::Builder<T> {
        channel::Builder::new(self.clone(), name)
    }

    /// Names a channel whose messages stay bytes.
    pub fn raw_channel(&self, name: &str) -> channel::Builder<Raw> {
        self.channel(name)
    }

    /// Opens an end of a channel that another process has named ([`End::uri`](channel::End::uri)). Faults: `NoSuchObject`; `Gone`, when
    /// the channel was deleted, and another one may have its name; `Mismatch`, when it is no channel.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// # let other = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let talk = manager.channel::<String>("talk").create().await?;
    /// let text = talk.b().uri().to_string();
    /// // In another process, which has got the text:
    /// let mut end = other.end::<String>(&text.parse()?).await?;
    /// talk.a().send("hello".to_owned()).await?;
    /// assert_eq!(end.receive().await?, "hello");
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn end<T: Payload>(&self, uri: &channel::EndUri) -> Result<channel::End<T>> {
        channel::End::open(self, uri).await
    }

    /// Names a topic of messages of one type; nothing happens before one of the builder's last verbs. To create it, its
    /// [`Overload`](topic::Overload) has to be decided.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::{Topic, topic::Overload};
    ///
    /// let news: Topic<String> = manager.topic("news").overload(Overload::DropOldest).open_or_create().await?;
    /// assert_eq!(news.publish("weather.berlin", "rain".to_owned()).await?.receivers, 0);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn topic<T: Payload>(&self, name: &str) -> topic::Builder<T> {
        topic::Builder::new(self.clone(), name)
    }

    /// Names a topic whose messages stay bytes.
    pub fn raw_topic(&self, name: &str) -> topic::Builder<Raw> {
        self.topic(name)
    }

    /// Names an object of one's own, to call its methods; nothing happens before one of the builder's `open` verbs. See
    /// [`Object`](crate::Object).
    pub fn object(&self, name: &str) -> object::Builder {
        object::Builder::new(self.clone(), name)
    }

    /// Makes this program a provider of a named object; nothing happens before [`start`](object::Serve::start). Several under one name
    /// share the calls by free capacity. See [`Object`](crate::Object) for an example.
    pub fn serve<C>(&self, name: &str, object: impl object::IntoService<C>) -> object::Serve {
        object::Serve::new(self.clone(), name, object)
    }

    /// The processes that the broker starts, watches and stops, if it was told to. See [`Processes`].
    pub fn processes(&self) -> Processes {
        Processes::new(self.clone())
    }

    /// Which objects there are.
    pub fn objects(&self) -> Objects {
        Objects::new(self.clone())
    }

    /// What the broker says of itself: version, sessions, what acknowledged work outlives.
    pub async fn status(&self) -> Result<v1::registry::StatusReply> {
        crate::call::call(self.session(), v1::registry::StatusRequest {}).await
    }

    /// Where the broker is.
    pub fn address(&self) -> String {
        self.handle.target.to_string()
    }

    /// The broker's number for this session, as `bursar status` shows it.
    pub fn session_id(&self) -> u64 {
        self.session().id()
    }

    /// Whether the session can be relied upon.
    pub fn state(&self) -> State {
        *self.session().state().borrow()
    }

    /// Until when the broker certainly keeps this session, counted from the sending of the last beat that was answered. What must not
    /// be done by two at once has to stop by then, unless this moves on; it does with every beat while the session is connected.
    pub fn valid_until(&self) -> Instant {
        self.session().valid_until()
    }

    /// Follows the state.
    pub fn watch_state(&self) -> StateWatch {
        StateWatch(self.session().state().subscribe())
    }

    /// Waits until the session is lost.
    pub async fn lost(&self) {
        let mut watch = self.watch_state();
        while watch.state() != State::Lost {
            watch.changed().await;
        }
    }

    /// Ends the session cleanly and waits for it, at most about two seconds: calls that were made go out first, waiting ones fail
    /// with [`Error::Lost`], and everything held goes back at once. Every clone of this handle is closed with it.
    pub async fn close(self) {
        self.session().close();
        self.lost().await;
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, session_id, state) = (self.address(), self.session_id(), self.state());
        formatter
            .debug_struct("Manager")
            .field("address", &address)
            .field("session_id", &session_id)
            .field("state", &state)
            .finish()
    }
}

/// Follows the state of a session.
#[derive(Clone, Debug)]
pub struct StateWatch(watch::Receiver<State>);

impl StateWatch {
    /// The state now.
    pub fn state(&self) -> State {
        *self.0.borrow()
    }

    /// Waits for another state than the one last seen here, and gives it. Once that was [`State::Lost`] it waits for ever.
    pub async fn changed(&mut self) -> State {
        match self.0.changed().await {
            Ok(()) => *self.0.borrow_and_update(),
            // The session's memory itself is gone: nothing will ever change.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Where and how to connect. Address (or connector) and authkey are needed, the rest has defaults.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use std::time::Duration;
///
/// let manager = bursar::Manager::builder()
///     .address(broker.address())?
///     .authkey(broker.authkey())
///     .label("worker 7")
///     .ttl(Duration::from_secs(30))
///     .connect()
///     .await?;
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Builder {
    target: Option<Target>,
    authkey: Option<AuthKey>,
    label: String,
    ttl: Option<Duration>,
    connect_timeout: Option<Duration>,
}

impl Builder {
    /// Where the broker is.
    pub fn address(mut self, address: impl IntoAddress) -> Result<Builder> {
        self.target = Some(Target::Address(address.into_address()?));
        Ok(self)
    }

    /// Instead of an address: what makes the byte streams.
    pub fn connector(mut self, connector: impl Connector) -> Builder {
        self.target = Some(Target::Connector(Arc::new(connector)));
        self
    }

    /// The key, and the id under which the broker knows it ([`AuthKey::with_id`]).
    pub fn authkey(mut self, authkey: AuthKey) -> Builder {
        self.authkey = Some(authkey);
        self
    }

    /// Address and authkey as the environment says ([`Manager::from_env`]), as far as they are not set already.
    pub fn from_env(mut self) -> Result<Builder> {
        if self.target.is_none() {
            self.target = Some(Target::Address(environment::address()?));
        }
        if self.authkey.is_none() {
            self.authkey = Some(environment::authkey()?);
        }
        Ok(self)
    }

    /// What the session is called where operators look. The default is the program's name.
    pub fn label(mut self, label: impl Into<String>) -> Builder {
        self.label = label.into();
        self
    }

    /// How long the broker keeps the session without hearing from it: 0.5 s to 5 min. The default, 10 s, is the broker's.
    ///
    /// A longer one rides out longer interruptions of the network; a shorter one gives the work of a lost host to others sooner.
    /// The end of a process on the broker's own host is seen at once, whatever the ttl.
    pub fn ttl(mut self, ttl: Duration) -> Builder {
        self.ttl = Some(ttl);
        self
    }

    /// How long connecting may take, now and again after a lost connection; 5 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Connects. Where nobody listens it fails at once; it tries again, within the timeout, when the other end closes the connection
    /// before the key is proved, as a broker does that too many others keep busy without proving theirs.
    ///
    /// The errors are those of [`Manager::connect`], and [`Error::Setting`].
    pub async fn connect(self) -> Result<Manager> {
        let config = self.config()?;
        let outcome = session::start(config)?.await;
        outcome.unwrap_or_else(|_| Err(Error::Lost(SessionEnded::new("its thread ended unexpectedly"))))
    }

    fn config(self) -> Result<Config> {
        let Builder { target, authkey, label, ttl, connect_timeout } = self;
        let range = limits::SESSION_TTL_MS_RANGE;
        if let Some(ttl) = ttl
            && !u64::try_from(ttl.as_millis()).is_ok_and(|ms| range.contains(&ms))
        {
            let problem = format!("expected {} ms to {} ms, got {ttl:?}", range.start(), range.end());
            return Err(Error::Setting { setting: "ttl", problem });
        }
        let missing = || Error::Setting {
            setting: "address",
            problem: "expected one of the builder's address, connector or from_env to be called".to_owned(),
        };
        Ok(Config {
            target: target.ok_or_else(missing)?,
            authkey: authkey.ok_or(KeyError::Missing)?,
            label: if label.is_empty() { environment::program() } else { label },
            ttl,
            connect_timeout: connect_timeout.unwrap_or(Duration::from_secs(5)),
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target.as_ref().map(Target::to_string);
        formatter
            .debug_struct("Builder")
            .field("target", &target)
            .field("authkey", &self.authkey)
            .field("label", &self.label)
            .field("ttl", &self.ttl)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

/// An address, or text that should be one.
pub trait IntoAddress {
    /// The address; an error says what one looks like.
    fn into_address(self) -> Result<Address, AddressError>;
}

impl IntoAddress for Address {
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(self)
    }
}

impl IntoAddress for &Address {
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(self.clone())
    }
}

impl IntoAddress for &str {
    fn into_address(self) -> Result<Address, AddressError> {
        self.parse()
    }
}

impl IntoAddress for &String {
    fn into_address(self) -> Result<Address, AddressError> {
        self.parse()
    }
}

impl IntoAddress for String {
    fn into_address(self) -> Result<Address, AddressError> {
        self.parse()
    }
}
