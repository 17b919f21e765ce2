//! What is added to a broker, and what becomes of it: kinds for the registry, objects that move in when the broker starts, services on top
//! of it.

use super::{
    factory::{Factory, Making},
    kept::Kept,
    kind::Kind,
    link::{BROKER, Indoors, Inside},
    resident::{Behind, Resident},
};
use crate::{
    ServeError,
    broker::MemoryConnector,
    lifecycle::Node,
    objects::{
        door::Door,
        host::Hosted,
        kind::SessionId,
        own::{OwnKinds, start},
    },
    supervisor::{Hook, Turn},
};
use bursar::{
    BoxIo, Manager,
    object::{Service, errand::Paces, link::Link, serve_over},
};
use bursar_proto::{
    AuthKey, Fault, KINDS, Name,
    v1::{ObjectRef, object as pb, registry},
};
use std::{collections::BTreeSet, mem, sync::Arc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Calls of one object within the broker at once. A method that waits for something keeps others from beginning only when so many do, and
/// each costs no more than its future.
const CAPACITY: u32 = 4096;

/// See the [module](self).
#[derive(Default)]
pub struct Additions {
    hooks: Vec<(String, Turn, Hook)>,
    kinds: OwnKinds,
    objects: Vec<(String, Addition)>,
    services: Vec<Node>,
    /// Of a kind that cannot be added: what is wrong with the first one.
    mistake: Option<(&'static str, String)>,
}

enum Addition {
    Object(Arc<dyn Service>),
    Factory(Factory),
}

impl Additions {
    pub fn add_kind<K: Kind>(&mut self) {
        let problem = match Kept::<K>::new() {
            _ if KINDS.contains(&K::NAME) => Some("every broker has a kind of this name".to_owned()),
            _ if K::NAME.parse::<Name>().is_err() => {
                Some("a kind is named as an object is: 1 to 200 of A-Z a-z 0-9 . _ - /".to_owned())
            }
            Err(fault) => Some(fault.to_string()),
            Ok(_) if !self.kinds.add(K::NAME, start::<Kept<K>>) => Some("there are two kinds of this name".to_owned()),
            Ok(_) => None,
        };
        self.mistake = self.mistake.take().or(problem.map(|problem| (K::NAME, problem)));
    }

    pub fn add_object(&mut self, name: String, object: Arc<dyn Service>) {
        self.objects.push((name, Addition::Object(object)));
    }

    pub fn add_factory(&mut self, name: String, factory: Factory) {
        self.objects.push((name, Addition::Factory(factory)));
    }

    pub fn add_hook(&mut self, process: String, turn: Turn, hook: Hook) {
        self.hooks.push((process, turn, hook));
    }

    /// For the supervisor.
    pub fn take_hooks(&mut self) -> Vec<(String, Turn, Hook)> {
        mem::take(&mut self.hooks)
    }

    pub fn add_service(&mut self, service: Node) {
        self.services.push(service);
    }

    /// For the stack of services.
    pub fn take_services(&mut self) -> Vec<Node> {
        mem::take(&mut self.services)
    }

    /// For the registry.
    pub fn kinds(&self) -> Result<OwnKinds, ServeError> {
        match &self.mistake {
            Some((name, problem)) => Err(ServeError::OwnKind { name: (*name).to_owned(), problem: problem.clone() }),
            None => Ok(self.kinds.clone()),
        }
    }

    /// The objects are there, and are served, when this returns.
    pub async fn move_in(self, residents: &Residents, connector: MemoryConnector, keys: &[AuthKey]) -> Result<(), ServeError> {
        let mut names = BTreeSet::new();
        if let Some((twice, _)) = self.objects.iter().find(|(name, _)| !names.insert(name)) {
            return Err(refused(twice, "two objects are registered under this name"));
        }
        if let (Some((first, _)), Some(key)) = (self.objects.first(), keys.first()) {
            let manager = connect(connector, key.clone()).await.map_err(|error| refused(first, error))?;
            residents.inside.read_handles_by(manager);
        }
        for (name, addition) in self.objects {
            let (service, made): (Arc<dyn Service>, _) = match addition {
                Addition::Object(service) => (service, None),
                Addition::Factory(factory) => (Arc::new(Making::new(&name, factory, residents.clone())), Some(residents.clone())),
            };
            residents.house(&name, service, made).await.map_err(|problem| refused(&name, problem))?;
        }
        Ok(())
    }
}

fn refused(name: &str, problem: impl ToString) -> ServeError {
    ServeError::Registered { name: name.to_owned(), problem: problem.to_string() }
}

/// The broker's session at itself.
async fn connect(connector: MemoryConnector, key: AuthKey) -> bursar::Result<Manager> {
    let connector = move || {
        let connector = connector.clone();
        async move { Ok(Box::new(connector.connect().await?) as BoxIo) }
    };
    Manager::builder().connector(connector).authkey(key).label("objects within the broker").connect().await
}

/// The objects that the broker's own process serves. All clones are of the same ones.
#[derive(Clone)]
pub struct Residents {
    inside: Arc<Inside>,
    /// One for each object: until nobody serves it any more.
    servings: TaskTracker,
    /// The broker is gone.
    gone: CancellationToken,
}

impl Residents {
    /// Nobody yet.
    pub fn new(door: &Arc<Door>) -> Residents {
        Residents { inside: Arc::new(Inside::new(door)), servings: TaskTracker::new(), gone: CancellationToken::new() }
    }

    /// Serves an object of this name. Where the configuration declares one, it is that one, with its options.
    async fn house(&self, name: &str, service: Arc<dyn Service>, made: Option<Residents>) -> Result<(), String> {
        let options = registry::Options { kind: Some(registry::options::Kind::Object(pb::Options::default())) };
        let request = |mode: registry::Mode| registry::OpenRequest {
            name: name.to_owned(),
            mode: mode.into(),
            options: Some(options.clone()),
            ephemeral: false,
        };
        let door = self.inside.door().map_err(|fault| fault.to_string())?;
        let registry = door.registry();
        let opened = match registry.open(BROKER, request(registry::Mode::Open)) {
            Err(Fault::NoSuchObject { .. }) => registry.open(BROKER, request(registry::Mode::Create)),
            opened => opened,
        };
        let epoch = opened.map_err(|fault| fault.to_string())?.epoch;
        self.serve(name, epoch, service, made).await
    }

    /// Makes an object that goes with the last handle of it, of which the caller's session has the first; says its name and epoch.
    pub async fn house_for(&self, caller: SessionId, name: &str, service: Arc<dyn Service>) -> Result<u64, Fault> {
        let options = registry::Options { kind: Some(registry::options::Kind::Object(pb::Options::default())) };
        let mode = registry::Mode::Create.into();
        let request = registry::OpenRequest { name: name.to_owned(), mode, options: Some(options), ephemeral: true };
        let door = self.inside.door()?;
        let registry = door.registry();
        let epoch = registry.open(caller, request)?.epoch;
        let served = self.serve(name, epoch, service, None).await;
        // Its end may have been told to all objects before this one was there.
        if served.is_err() || registry.world().directory.has_ended(caller) {
            registry.close(caller, Some(&ObjectRef { name: name.to_owned(), epoch }))?;
        }
        served.map(|()| epoch).map_err(|problem| Fault::bad_argument("description", problem))
    }

    /// The session does not use this object any more.
    pub fn close_for(&self, session: SessionId, (name, epoch): (String, u64)) {
        if let Ok(door) = self.inside.door()
            && let Err(fault) = door.registry().close(session, Some(&ObjectRef { name, epoch }))
        {
            tracing::debug!(%fault, "an object that nobody got could not be closed");
        }
    }

    async fn serve(&self, name: &str, epoch: u64, service: Arc<dyn Service>, made: Option<Residents>) -> Result<(), String> {
        let object = ObjectRef { name: name.to_owned(), epoch };
        let door = self.inside.door().map_err(|fault| fault.to_string())?;
        let registry = door.registry();
        let host = registry.resolve(Some(&object)).map_err(|fault| fault.to_string())?;
        let link: Arc<dyn Link> = Arc::new(Indoors::new(self.inside.clone(), host));
        let paces = Paces::of(&*service);
        let serving = serve_over(link.clone(), service.clone(), CAPACITY, paces.clone()).await;
        let serving = serving.map_err(|error| error.to_string())?;
        let (tasks, clock) = (self.servings.clone(), registry.world().clock.clone());
        let gone = self.gone.clone();
        let front = |host| -> Arc<dyn Hosted> { Resident::new(Behind { host, service, link, paces, tasks, gone, clock, made }) };
        registry.front(&object, front).map_err(|fault| fault.to_string())?;
        let gone = self.gone.clone();
        self.servings.spawn(async move {
            tokio::select! {
                _ = serving.ended() => {}
                () = gone.cancelled() => {}
            }
        });
        Ok(())
    }

    /// The broker takes no more calls: waits until those that run are answered.
    pub async fn finish(&self) {
        self.servings.close();
        self.servings.wait().await;
        if let Some(manager) = self.inside.manager() {
            manager.clone().close().await;
        }
    }

    /// Whatever runs is dropped.
    pub fn evict(&self) {
        self.gone.cancel();
    }
}
