//! The names: which objects there are. It knows the kinds by one list, `create`, and nothing of what they do.

use super::{
    array::Array,
    barrier::Barrier,
    channel::Channel,
    condition::Condition,
    core::Fence,
    counter::Counter,
    event::Event,
    host::{Hosted, World},
    kind::{Moment, SessionId},
    kv::Kv,
    latch::Latch,
    list::List,
    lock::Lock,
    object::Object,
    own::{OwnKinds, start},
    queue::Queue,
    rwlock::Rwlock,
    semaphore::Semaphore,
    topic::Topic,
    waits,
};
use bursar_proto::{
    Fault, KINDS, Name, kind_of, option_fields,
    v1::{self, ObjectRef, registry as pb, registry::options},
};
use dashmap::{DashMap, Entry};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// Objects in one reply of `List`.
const LIST_MAX: usize = 1000;

/// All objects by name.
pub struct Registry {
    objects: DashMap<Name, Registered>,
    next_epoch: AtomicU64,
    objects_max: usize,
    /// How many objects are ephemeral: as a rule none, and then the end of a session need not look through all of them.
    ephemeral: AtomicUsize,
    own_kinds: OwnKinds,
    world: Arc<World>,
}

struct Registered {
    host: Arc<dyn Hosted>,
    created: Moment,
    /// The sessions that opened an ephemeral object; `None`: the object stays.
    openers: Option<HashSet<SessionId>>,
}

impl Registered {
    /// A session does not use it any more; true: it was the last one that had it open.
    fn lose_opener(&mut self, session: SessionId) -> bool {
        match &mut self.openers {
            Some(openers) => openers.remove(&session) && openers.is_empty(),
            None => false,
        }
    }
}

/// The list of kinds: an object for these options.
fn create(name: &Name, epoch: u64, options: &pb::Options, own: &OwnKinds, world: &Arc<World>) -> Result<Arc<dyn Hosted>, Fault> {
    match &options.kind {
        Some(options::Kind::Queue(_)) => start::<Queue>(name, epoch, options, world),
        Some(options::Kind::Kv(_)) => start::<Kv>(name, epoch, options, world),
        Some(options::Kind::Lock(_)) => start::<Lock>(name, epoch, options, world),
        Some(options::Kind::Rwlock(_)) => start::<Rwlock>(name, epoch, options, world),
        Some(options::Kind::Semaphore(_)) => start::<Semaphore>(name, epoch, options, world),
        Some(options::Kind::Event(_)) => start::<Event>(name, epoch, options, world),
        Some(options::Kind::Latch(_)) => start::<Latch>(name, epoch, options, world),
        Some(options::Kind::Condition(_)) => start::<Condition>(name, epoch, options, world),
        Some(options::Kind::Barrier(_)) => start::<Barrier>(name, epoch, options, world),
        Some(options::Kind::Counter(_)) => start::<Counter>(name, epoch, options, world),
        Some(options::Kind::List(_)) => start::<List>(name, epoch, options, world),
        Some(options::Kind::Array(_)) => start::<Array>(name, epoch, options, world),
        Some(options::Kind::Channel(_)) => start::<Channel>(name, epoch, options, world),
        Some(options::Kind::Topic(_)) => start::<Topic>(name, epoch, options, world),
        Some(options::Kind::Object(object)) if !object.kind.is_empty() => own.find(&object.kind)?(name, epoch, options, world),
        Some(options::Kind::Object(_)) => start::<Object>(name, epoch, options, world),
        None => Err(Fault::bad_argument(
            "options",
            format!("expected the options of a kind ({}) to create an object", KINDS.join(", ")),
        )),
    }
}

impl Registry {
    /// No objects. Epochs start at the broker's boot, so that they grow across restarts; they stay below 2^53, which every
    /// language's numbers can hold.
    pub fn new(world: Arc<World>, objects_max: usize) -> Registry {
        let first_epoch = world.clock.epoch().0 << 10;
        Registry {
            objects: DashMap::new(),
            next_epoch: AtomicU64::new(first_epoch),
            objects_max,
            ephemeral: AtomicUsize::new(0),
            own_kinds: OwnKinds::default(),
            world,
        }
    }

    /// With these kinds besides those that every broker has.
    pub fn with_own_kinds(self, own_kinds: OwnKinds) -> Registry {
        Registry { own_kinds, ..self }
    }

    /// How many objects there are.
    pub fn count(&self) -> usize {
        self.objects.len()
    }

    /// The object that a request names.
    pub fn resolve(&self, object: Option<&ObjectRef>) -> Result<Arc<dyn Hosted>, Fault> {
        let object = object.ok_or_else(|| Fault::bad_argument("object", "expected the name of an object"))?;
        let found = self.objects.get(object.name.as_str()).map(|registered| registered.host.clone());
        match found {
            Some(host) if object.epoch == 0 || object.epoch == host.epoch() => Ok(host),
            Some(host) => Err(Fault::Gone { name: object.name.clone(), old_epoch: object.epoch, new_epoch: host.epoch() }),
            None if object.epoch != 0 => Err(Fault::Gone { name: object.name.clone(), old_epoch: object.epoch, new_epoch: 0 }),
            None => {
                object.name.parse::<Name>()?;
                Err(Fault::NoSuchObject { name: object.name.clone() })
            }
        }
    }

    /// Opens or creates. `caller` 0 is the broker itself.
    pub fn open(&self, caller: SessionId, request: pb::OpenRequest) -> Result<pb::OpenReply, Fault> {
        let pb::OpenRequest { name, mode, options, ephemeral } = request;
        let name: Name = name.parse()?;
        let mode = pb::Mode::try_from(mode)
            .map_err(|_| Fault::bad_argument("mode", "expected OPEN_OR_CREATE (0), CREATE (1) or OPEN (2)"))?;
        let options = options.unwrap_or_default();
        let is_full = self.objects.len() >= self.objects_max;
        match self.objects.entry(name) {
            Entry::Occupied(mut entry) => {
                let (name, host) = (entry.key().clone(), entry.get().host.clone());
                if mode == pb::Mode::Create {
                    return Err(Fault::AlreadyExists { name: name.to_string(), epoch: host.epoch() });
                }
                self.compare(&name, &*host, &options, mode)?;
                if let Some(openers) = &mut entry.get_mut().openers {
                    openers.insert(caller);
                }
                let ephemeral = entry.get().openers.is_some();
                Ok(pb::OpenReply { epoch: host.epoch(), created: false, options: Some(host.options()), ephemeral })
            }
            Entry::Vacant(entry) if mode == pb::Mode::Open => Err(Fault::NoSuchObject { name: entry.key().to_string() }),
            Entry::Vacant(_) if is_full => Err(Fault::LimitReached { what: "objects".into(), limit: self.objects_max as u64 }),
            Entry::Vacant(entry) => {
                let epoch = self.next_epoch.fetch_add(1, Ordering::SeqCst);
                let host = create(entry.key(), epoch, &options, &self.own_kinds, &self.world)?;
                let reply = pb::OpenReply { epoch, created: true, options: Some(host.options()), ephemeral };
                self.ephemeral.fetch_add(usize::from(ephemeral), Ordering::SeqCst);
                let openers = ephemeral.then(|| HashSet::from([caller]));
                tracing::info!(object = %entry.key(), epoch, kind = host.kind(), ephemeral, "created");
                entry.insert(Registered { host, created: self.world.clock.now(), openers });
                Ok(reply)
            }
        }
    }

    /// Whether an object is what a request says it should be: with OPEN its kind, if one is said; else all its options.
    fn compare(&self, name: &Name, host: &dyn Hosted, options: &pb::Options, mode: pb::Mode) -> Result<(), Fault> {
        let mismatch = |what: &str, expected: String, actual: String| {
            Err(Fault::Mismatch { name: name.to_string(), what: what.into(), expected, actual })
        };
        match kind_of(options) {
            None if mode == pb::Mode::Open => return Ok(()),
            Some(kind) if kind != host.kind() => return mismatch("kind", kind.into(), host.kind().into()),
            Some(_) if mode == pb::Mode::Open => return Ok(()),
            _ => {}
        }
        // Another object of these options, so that defaults on both sides are written out.
        let wished = option_fields(&create(name, 0, options, &self.own_kinds, &self.world)?.options());
        let actual = option_fields(&host.options());
        let differing = wished.into_iter().zip(actual).filter(|(wished, actual)| wished != actual);
        // Of another kind of one's own the other options say nothing.
        match differing.min_by_key(|((what, _), _)| what != "kind") {
            Some(((what, expected), (_, actual))) => mismatch(&what, expected, actual),
            None => Ok(()),
        }
    }

    /// Objects in the order of their names.
    pub fn list(&self, request: &pb::ListRequest) -> pb::ListReply {
        let limit = match request.limit as usize {
            0 => LIST_MAX,
            limit => limit.min(LIST_MAX),
        };
        let wanted = |registered: &Registered| request.kind.is_empty() || registered.host.kind() == request.kind;
        let mut names: Vec<Name> = self
            .objects
            .iter()
            .filter(|entry| entry.key().as_str().starts_with(&request.prefix))
            .filter(|entry| entry.key().as_str() > request.after.as_str() && wanted(entry.value()))
            .map(|entry| entry.key().clone())
            .collect();
        names.sort_unstable();
        let more = names.len() > limit;
        names.truncate(limit);
        let objects = names.iter().filter_map(|name| self.described(name)).collect();
        pb::ListReply { objects, more }
    }

    /// One object.
    pub fn describe(&self, object: Option<&ObjectRef>) -> Result<pb::Described, Fault> {
        let host = self.resolve(object)?;
        self.described(host.name()).ok_or_else(|| Fault::NoSuchObject { name: host.name().to_string() })
    }

    fn described(&self, name: &Name) -> Option<pb::Described> {
        let registered = self.objects.get(name)?;
        let (host, created, ephemeral) = (registered.host.clone(), registered.created, registered.openers.is_some());
        drop(registered);
        let (waiting, figures) = host.figures();
        Some(pb::Described {
            name: name.to_string(),
            epoch: host.epoch(),
            kind: host.kind().to_owned(),
            options: Some(host.options()),
            ephemeral,
            created_ms: created.0,
            waiting,
            figures: figures.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        })
    }

    /// Who waits for what, of one object or of all.
    pub fn waits(&self, object: Option<&ObjectRef>) -> Result<pb::WaitsReply, Fault> {
        let hosts = match object {
            Some(_) => vec![self.resolve(object)?],
            None => self.objects.iter().map(|entry| entry.value().host.clone()).collect(),
        };
        Ok(waits::show(&hosts, object.is_some(), &self.world))
    }

    /// What must be held for a request to be executed.
    pub fn fence(&self, fence: Option<&v1::Fence>) -> Result<Option<Fence>, Fault> {
        let Some(fence) = fence else { return Ok(None) };
        let host = self.resolve(fence.lock.as_ref())?;
        let no_tokens = || {
            let (name, kind) = (host.name(), host.kind());
            Fault::bad_argument("fence", format!("expected a lock or rwlock, and {:?} is a {kind}", name.as_str()))
        };
        let current = host.exclusive().ok_or_else(no_tokens)?;
        Ok(Some(Fence { lock: host.name().to_string(), token: fence.token, current }))
    }

    /// What all objects share.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Deletes an object: whoever waits for it is told that it is gone.
    pub fn delete(&self, object: Option<&ObjectRef>) -> Result<(), Fault> {
        let host = self.resolve(object)?;
        self.remove_if(host.name(), |registered| registered.host.epoch() == host.epoch());
        Ok(())
    }

    /// Puts something in front of an object: whoever finds it from now on finds that.
    pub fn front(&self, object: &ObjectRef, front: impl FnOnce(Arc<dyn Hosted>) -> Arc<dyn Hosted>) -> Result<(), Fault> {
        let host = self.resolve(Some(object))?;
        if let Some(mut registered) =
            self.objects.get_mut(host.name()).filter(|registered| registered.host.epoch() == host.epoch())
        {
            registered.host = front(host);
        }
        Ok(())
    }

    /// The session does not use an object any more: an ephemeral one goes with its last opener. Of any other, of one that is not
    /// there, and of one that the session has not opened, this changes nothing.
    pub fn close(&self, caller: SessionId, object: Option<&ObjectRef>) -> Result<(), Fault> {
        let host = match self.resolve(object) {
            Ok(host) => host,
            Err(Fault::Gone { .. } | Fault::NoSuchObject { .. }) => return Ok(()),
            Err(fault) => return Err(fault),
        };
        self.remove_if(host.name(), |registered| registered.host.epoch() == host.epoch() && registered.lose_opener(caller));
        Ok(())
    }

    /// Removes the object of this name if the condition holds, which may change it.
    fn remove_if(&self, name: &Name, condition: impl FnOnce(&mut Registered) -> bool) {
        let mut retired = None;
        let removed = self.objects.remove_if_mut(name, |name, registered| {
            let is_over = condition(registered);
            if is_over {
                retired = Some(self.retire(name, &*registered.host));
            }
            is_over
        });
        if let Some((_, registered)) = removed {
            self.ephemeral.fetch_sub(usize::from(registered.openers.is_some()), Ordering::SeqCst);
        }
        if let Some(deliver) = retired {
            deliver();
        }
    }

    /// A session that opened ephemeral objects ended: those that nobody else has open go.
    pub fn departed(&self, session: SessionId) {
        if self.ephemeral.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut gone = Vec::new();
        self.objects.retain(|name, registered| {
            let orphaned = registered.lose_opener(session);
            if orphaned {
                gone.push(self.retire(name, &*registered.host));
            }
            !orphaned
        });
        self.ephemeral.fetch_sub(gone.len(), Ordering::SeqCst);
        gone.into_iter().for_each(|deliver| deliver());
    }

    /// An object goes, while its name is still taken: whatever has the name next gives larger tokens than it gave. What is given
    /// back tells those who wait.
    fn retire(&self, name: &Name, host: &dyn Hosted) -> Box<dyn FnOnce()> {
        tracing::info!(object = %name, epoch = host.epoch(), "deleted");
        let (last_token, deliver) = host.stop(Fault::Gone { name: name.to_string(), old_epoch: host.epoch(), new_epoch: 0 });
        self.next_epoch.fetch_max(last_token + 1, Ordering::SeqCst);
        deliver
    }

    /// Answers everybody who waits for anything.
    pub fn dismiss_all(&self, fault: &Fault) {
        let hosts: Vec<_> = self.objects.iter().map(|entry| entry.value().host.clone()).collect();
        for host in hosts {
            host.dismiss(fault);
        }
    }
}
