//! The supervisor of a broker: starts, watches, stops and explains the processes that share its objects, and is an object itself.
//!
//! ```text
//!   clients ──► object ──► order (pure: who may be up now) ──► goals ──► keepers, one task for each process
//!                              ▲                                          │ course (pure), hooks, checks, channels
//!                              └──────────── ledgers: how each is ◄───────┴─ bursar-supervisor: plan (pure), trees
//! ```
//!
//! What is decided is decided without a process, a clock or a socket in it: `order` (between processes), `course` (of one process with its
//! hooks), and the plan of `bursar-supervisor` (of its workers). A `ledger` has what is known of a process; whoever has something to say of it writes it
//! there, and whoever waits for something looks there. So nothing is lost between two tasks, and the newest wish is the one that stands there.
//!
//! It is a client of its own broker, from within: for channels, queues to scale by, and objects that processes wait for.

mod changes;
mod channels;
mod checks;
mod course;
mod environment;
mod family;
mod history;
mod hooks;
mod keeper;
mod lag;
mod ledger;
mod lines;
mod memory_kills;
mod notify;
mod object;
mod order;
mod probe;
mod usage;
mod user;
mod words;

pub use bursar::processes::OBJECT;
pub use hooks::{Hook, HookContext, Turn};

use crate::{
    broker::MemoryConnector,
    clock::Clock,
    lifecycle::{Context, Outcome, Service},
    sessions::Table,
};
use bursar::{
    BoxIo, Manager,
    processes::{Refused, Source, Spec, nearest},
};
use bursar_proto::{Address, AuthKey};
use environment::Connection;
use family::Family;
use history::History;
use hooks::HOOK_TIMEOUT;
use keeper::{Keeper, Kept};
use ledger::Ledger;
use lines::Origin;
use object::Guarded;
use order::{Order, Wish};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    os::unix::fs::PermissionsExt,
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How often one looks for objects that processes wait for.
const LOOK: Duration = Duration::from_millis(100);
/// How long those who follow what happens have to read the end of it, before the broker goes, too.
const READ_WITHIN: Duration = Duration::from_secs(1);
/// What stopping may take over the time of the processes: room for a loaded machine.
const MARGIN: Duration = Duration::from_secs(5);

/// Keeps the processes of a broker. Clones are the same one.
#[derive(Clone)]
pub struct Supervisor(Arc<Beginning>);

/// What there is before it starts.
struct Beginning {
    specs: Vec<Spec>,
    key: AuthKey,
    secret: [u8; 32],
    functions: Functions,
    house: OnceLock<House>,
    shared: OnceLock<Arc<Shared>>,
    /// Fires when it has begun, or is known not to.
    begun: CancellationToken,
}

/// What it needs of its broker.
pub struct House {
    /// Whose sessions are whose.
    pub table: Arc<Table>,
    /// The way in.
    pub connector: MemoryConnector,
    /// Where workers find it.
    pub addresses: Vec<Address>,
    /// What time it is.
    pub clock: Clock,
}

/// What is run in this program at turning points, by process.
type Functions = Mutex<HashMap<(String, Turn), Vec<Hook>>>;

/// What all parts of it use.
pub(crate) struct World {
    clock: Clock,
    history: Arc<History>,
    family: Arc<Family>,
    connection: Connection,
    table: Arc<Table>,
    /// Its own session at its own broker.
    manager: Manager,
    /// Where workers find their sockets.
    directory: tempfile::TempDir,
    functions: Functions,
    /// Something has changed that may concern others.
    nudge: Notify,
}

/// A supervisor at work.
pub(crate) struct Shared {
    this: std::sync::Weak<Shared>,
    world: Arc<World>,
    /// Short sections. A ledger may be locked within, never the other way round.
    room: Mutex<Room>,
    /// How often there came an output that somebody may follow.
    outputs: watch::Sender<u64>,
    /// Somebody wants the broker to end.
    end: CancellationToken,
}

#[derive(Default)]
struct Room {
    order: Order,
    kept: BTreeMap<String, Arc<Kept>>,
    /// Those that have no keeper yet.
    new: Vec<Arc<Kept>>,
    is_stopping: bool,
}

impl Supervisor {
    /// One that keeps these processes when it starts.
    pub fn new(specs: Vec<Spec>) -> Supervisor {
        let (key, secret) = environment::new_key();
        let (functions, house, shared, begun) = Default::default();
        Supervisor(Arc::new(Beginning { specs, key, secret, functions, house, shared, begun }))
    }

    /// What is run in this program at a turning point of a process. Before it starts.
    pub fn add_hook(&self, process: impl Into<String>, turn: Turn, hook: Hook) {
        self.0.functions.lock().entry((process.into(), turn)).or_default().push(hook);
    }

    /// The key of the workers, which the broker has to accept.
    pub(crate) fn key(&self) -> AuthKey {
        self.0.key.clone()
    }

    /// What clients call.
    pub(crate) fn object(&self) -> Arc<dyn bursar::object::Service> {
        Guarded::new(self.clone())
    }

    /// Before it starts.
    pub(crate) fn move_in(&self, house: House) {
        // There is one in a broker's life.
        let _ = self.0.house.set(house);
    }

    /// Waits until it has begun, or will never: clients may come before.
    async fn has_begun(&self) {
        self.0.begun.cancelled().await;
    }

    /// Once it has begun.
    fn shared(&self) -> Result<Arc<Shared>, Refused> {
        self.0.shared.get().cloned().ok_or(Refused::Stopping)
    }

    async fn begin(&self) -> Result<Arc<Shared>, Box<dyn std::error::Error + Send + Sync>> {
        let House { table, connector, addresses, clock } = self.0.house.get().expect("it moves in before it starts");
        let directory = notify::folder_for_sockets(&std::env::temp_dir())?;
        // Workers may run as other users, and have to get through.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711))?;
        let key = Arc::new(environment::sealed(&self.0.secret)?);
        let unix = addresses.iter().find(|address| matches!(address, Address::Unix(_)));
        let address = unix.or(addresses.first()).cloned();
        let history = History::new(clock.clone());
        let family = Arc::new(Family::new(history.clone()));
        table.set_witness(family.clone());
        let world = Arc::new(World {
            clock: clock.clone(),
            history,
            family,
            connection: Connection { address, key },
            table: table.clone(),
            manager: connect(connector.clone(), self.key()).await?,
            directory,
            functions: Mutex::new(std::mem::take(&mut *self.0.functions.lock())),
            nudge: Notify::new(),
        });
        let shared = Arc::new_cyclic(|this| Shared {
            this: this.clone(),
            world,
            room: Mutex::default(),
            outputs: watch::channel(0).0,
            end: CancellationToken::new(),
        });
        for spec in &self.0.specs {
            shared.add(spec.clone(), false)?;
        }
        let autostart = self.0.specs.iter().filter(|spec| spec.autostart).map(|spec| spec.name.clone());
        shared.wish(Wish::Start, &autostart.collect::<Vec<_>>());
        // It starts once.
        let _ = self.0.shared.set(shared.clone());
        Ok(shared)
    }
}

/// The supervisor's session at its broker.
async fn connect(connector: MemoryConnector, key: AuthKey) -> bursar::Result<Manager> {
    let connector = move || {
        let connector = connector.clone();
        async move { Ok(Box::new(connector.connect().await?) as BoxIo) }
    };
    Manager::builder().connector(connector).authkey(key).label("supervisor").connect().await
}

impl Service for Supervisor {
    fn name(&self) -> String {
        "processes".into()
    }

    fn graceful_shutdown_timeout(&self) -> Duration {
        self.shared().map_or(MARGIN, |shared| shared.longest_stop() + MARGIN)
    }

    async fn start(self: Arc<Self>, context: Context) -> Outcome {
        // However this ends, those who wait for it are answered.
        let _begun = self.0.begun.clone().drop_guard();
        let shared = self.begin().await?;
        tracing::info!(pid = std::process::id(), processes = self.0.specs.len(), "supervising");
        context.add_graceful_task("keepers", shared.conduct(context.clone()));
        Ok(())
    }
}

impl Shared {
    pub(crate) fn add(&self, spec: Spec, start: bool) -> Result<(), Refused> {
        let name = spec.name.clone();
        let bad = |problem: String| Refused::BadSpec { name: name.clone(), problem };
        let policy = check(&spec).map_err(bad)?;
        let mut room = self.room.lock();
        if room.is_stopping {
            return Err(Refused::Stopping);
        }
        room.order.add(&name, spec.dependencies.clone()).map_err(bad)?;
        match room.kept.get(&name) {
            Some(kept) => {
                let is_same = kept.ledger.look(|facts| facts.spec == spec);
                kept.ledger.write(|facts| {
                    (facts.spec, facts.is_removed, facts.scaled) = (spec, false, None);
                    facts.goal.version += 1;
                });
                if !is_same && room.order.is_wanted(&name) {
                    room.order.wish(Wish::Restart(None), std::slice::from_ref(&name));
                }
            }
            None => {
                let ledger = Ledger::new(spec, self.world.clone());
                ledger.say(None, "added", "is known now");
                let kept = Kept::new(ledger, policy, self.this.clone());
                room.new.push(kept.clone());
                room.kept.insert(name.clone(), kept);
            }
        }
        if start {
            room.order.wish(Wish::Start, std::slice::from_ref(&name));
        }
        self.settle(&mut room);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), Refused> {
        let kept = self.find(name)?;
        kept.ledger.write(|facts| facts.is_removed = true);
        drop(kept);
        self.wish(Wish::Stop, &[name.to_owned()]);
        Ok(())
    }

    /// Names that are not known are passed over.
    fn wish(&self, wish: Wish, names: &[String]) {
        let mut room = self.room.lock();
        if !room.is_stopping || matches!(wish, Wish::Kill) {
            room.order.wish(wish, names);
            self.settle(&mut room);
        }
    }

    fn find(&self, name: &str) -> Result<Arc<Kept>, Refused> {
        let room = self.room.lock();
        if let Some(kept) = room.kept.get(name) {
            return Ok(kept.clone());
        }
        let nearest = nearest(name, room.kept.keys().map(String::as_str)).map(str::to_owned);
        Err(Refused::NoSuchProcess { name: name.to_owned(), nearest })
    }

    fn all(&self) -> Vec<Arc<Kept>> {
        self.room.lock().kept.values().cloned().collect()
    }

    /// Those that are to be up.
    fn wanted(&self) -> Vec<String> {
        let room = self.room.lock();
        room.kept.keys().filter(|name| room.order.is_wanted(name)).cloned().collect()
    }

    /// What these write, or all.
    fn origins(&self, names: &[String]) -> Vec<Origin> {
        let mut origins = Vec::new();
        for kept in self.all().iter().filter(|kept| names.is_empty() || names.contains(&kept.ledger.name)) {
            let outputs = (0..).map_while(|worker| Some((worker, kept.process.outputs(worker)?)));
            for (worker, outputs) in outputs {
                for (source, output) in [(Source::Stdout, outputs.stdout), (Source::Stderr, outputs.stderr)] {
                    origins.push(Origin { process: kept.ledger.name.clone(), worker, source, output });
                }
            }
        }
        origins
    }

    /// The broker is to end, and everything here before.
    fn shut_down(&self) {
        self.end.cancel();
    }

    /// Everything is to stop, and nothing starts any more.
    fn stop_all(&self) {
        let mut room = self.room.lock();
        room.is_stopping = true;
        let names: Vec<String> = room.kept.keys().cloned().collect();
        room.order.wish(Wish::Stop, &names);
        self.settle(&mut room);
    }

    /// Lets the order see how all are, and tells them what follows.
    fn settle(&self, room: &mut Room) {
        let Room { order, kept, .. } = room;
        let mut forgotten = Vec::new();
        for (name, kept) in &*kept {
            let (status, is_removed) = kept.ledger.look(|facts| (facts.status(), facts.is_removed));
            order.see(name, status);
            if is_removed && status.is_down {
                forgotten.push(name.clone());
            }
        }
        for name in forgotten {
            order.remove(&name);
            if let Some(kept) = kept.remove(&name) {
                kept.ledger.say(None, "removed", "nothing of it is left");
                kept.ledger.write(|facts| facts.is_forgotten = true);
            }
        }
        for (name, step) in order.follow() {
            if let Some(kept) = kept.get(&name) {
                kept.ledger.obey(step);
            }
        }
        let mut waits = order.waits();
        for (name, kept) in kept {
            kept.ledger.show_order(order.is_wanted(name), waits.remove(name).unwrap_or_default());
        }
    }

    /// Until everything has stopped, once it is to.
    async fn conduct(self: Arc<Shared>, context: Context) -> Outcome {
        let _cleared = Clearing(self.clone());
        let mut keepers = JoinSet::new();
        let (mut spent, mut has_asked) = (None, false);
        // Outside of the loop: nudges that come more often must not put it off.
        let mut look = pin!(self.world.clock.sleep(LOOK));
        loop {
            let (is_over, awaited) = {
                let mut room = self.room.lock();
                self.settle(&mut room);
                room.new.drain(..).for_each(|kept| _ = keepers.spawn(Keeper::new(kept).run()));
                let is_down = room.kept.values().all(|kept| kept.ledger.look(|facts| facts.status().is_down));
                let awaited = room.order.awaited_objects();
                if awaited.is_empty() {
                    // Who waits for one of them later has to see it then.
                    room.order.see_objects(BTreeSet::new());
                }
                (room.is_stopping && is_down, awaited)
            };
            self.outputs.send_modify(|outputs| *outputs += 1);
            if is_over {
                self.world.history.end();
                let read = async { tokio::join!(self.world.history.read(), self.outputs.closed()) };
                let _ = timeout(READ_WITHIN, read).await;
                self.world.manager.clone().close().await;
                return spent.map_or(Ok(()), |problem: String| Err(problem.into()));
            }
            if spent.is_none() {
                spent = self.spent();
                if spent.is_some() {
                    self.stop_all();
                }
            }
            tokio::select! {
                () = self.world.nudge.notified() => {}
                () = &mut look, if !awaited.is_empty() => {
                    self.look_for(awaited).await;
                    look.set(self.world.clock.sleep(LOOK));
                }
                () = context.stopping().cancelled(), if !self.is_stopping() => self.stop_all(),
                () = self.end.cancelled(), if !has_asked => {
                    has_asked = true;
                    context.request_stop();
                }
                Some(_) = keepers.join_next() => {}
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.room.lock().is_stopping
    }

    /// Whose budget was everybody's.
    fn spent(&self) -> Option<String> {
        let all = self.all();
        let spent = all.iter().find(|kept| kept.ledger.look(|facts| facts.is_everything_spent))?;
        Some(format!("the process {} has failed too often, and everything stops with it", spent.ledger.name))
    }

    async fn look_for(&self, awaited: BTreeSet<String>) {
        let mut there = BTreeSet::new();
        for name in awaited {
            if self.world.manager.objects().describe(&name).await.is_ok() {
                there.insert(name);
            }
        }
        self.room.lock().order.see_objects(there);
    }

    /// How long it takes until everything is down, if everything takes its time.
    fn longest_stop(&self) -> Duration {
        let room = self.room.lock();
        let of_one = |name: &str| {
            let Some(kept) = room.kept.get(name) else { return 0 };
            let spec = kept.ledger.look(|facts| facts.spec.clone());
            let hooks = spec.hooks.before_stop.len() + spec.hooks.after_stop.len();
            // A function may be among them.
            let hooks_ms = HOOK_TIMEOUT.as_millis() as u64 * (hooks as u64 + 2);
            spec.stop.ask_ms.unwrap_or(0).saturating_add(spec.stop.timeout_ms).saturating_add(hooks_ms)
        };
        Duration::from_millis(room.order.longest_chain(of_one))
    }
}

/// However it ends: nothing is kept any more, so that nothing is left.
struct Clearing(Arc<Shared>);

impl Drop for Clearing {
    fn drop(&mut self) {
        let mut room = self.0.room.lock();
        room.is_stopping = true;
        let kept = std::mem::take(&mut room.kept);
        room.new.clear();
        drop(room);
        for kept in kept.values() {
            kept.ledger.write(|facts| facts.is_forgotten = true);
        }
        self.0.world.history.end();
    }
}

/// What can be seen before anything runs.
fn check(spec: &Spec) -> Result<bursar_supervisor::Policy, String> {
    spec.check().map_err(|problems| problems.join("; "))?;
    if let Some(user) = &spec.user {
        user::find(user)?;
    }
    words::policy(spec)
}
