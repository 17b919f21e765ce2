//! A look at the broker: everything that `top` shows, asked for at once. And what its keys wish.

use super::state::Wish;
use crate::cli::{
    Client,
    failure::{Exit, Failure},
    processes::{broken, failure, open},
};
use bursar::{
    Described, Manager, State,
    object::Incoming,
    processes::{Line, Process, SuperviseClient},
};
use futures_util::future::join_all;
use std::{collections::BTreeMap, time::Duration};

/// A broker that does not answer for so long is lost for now.
const ANSWER: Duration = Duration::from_secs(2);
/// Queues whose oldest item is asked for, one call each: more than a screen shows.
const QUEUES: usize = 100;

/// What was seen.
#[derive(Clone, Debug)]
pub struct Looked {
    pub broker: Broker,
    /// None: it keeps none.
    pub processes: Option<Vec<Process>>,
    pub objects: Vec<Described>,
    /// How long the first item of a queue has waited, by the queue's name.
    pub oldest_ms: BTreeMap<String, u64>,
}

#[derive(Clone, Debug)]
pub struct Broker {
    pub address: String,
    pub version: String,
    pub pid: u32,
    pub uptime_ms: u64,
    pub sessions: u64,
    pub connections: u64,
    pub objects: u64,
}

/// Who looks. It connects anew when its session is over.
#[derive(Clone)]
pub struct Looking {
    client: Client,
    manager: Option<Manager>,
    supervise: Option<SuperviseClient>,
}

impl Looking {
    pub fn at(client: Client) -> Looking {
        Looking { client, manager: None, supervise: None }
    }

    pub fn of(client: Client, manager: Manager) -> Looking {
        Looking { client, manager: Some(manager), supervise: None }
    }

    pub async fn look(mut self) -> (Looking, Result<Looked, Failure>) {
        let looked = tokio::time::timeout(ANSWER, self.ask()).await;
        let looked = looked.unwrap_or_else(|_| Err(Failure::new(Exit::Unreachable, "the broker does not answer")));
        if self.manager.as_ref().is_some_and(|manager| manager.state() == State::Lost) {
            (self.manager, self.supervise) = (None, None);
        }
        (self, looked)
    }

    async fn ask(&mut self) -> Result<Looked, Failure> {
        let manager = match &self.manager {
            Some(manager) => manager.clone(),
            None => self.manager.insert(self.client.connect().await?).clone(),
        };
        let status = manager.status().await?;
        let broker = Broker {
            address: manager.address(),
            version: status.version,
            pid: status.pid,
            uptime_ms: status.uptime_ms,
            sessions: status.sessions_total,
            connections: status.connections,
            objects: status.objects,
        };
        let objects = manager.objects().list("").await?;
        let oldest_ms = oldest(&manager, &objects).await;
        Ok(Looked { broker, processes: self.processes(&manager).await?, objects, oldest_ms })
    }

    async fn processes(&mut self, manager: &Manager) -> Result<Option<Vec<Process>>, Failure> {
        if self.supervise.is_none() {
            self.supervise = match open(manager).await {
                Ok(supervise) => Some(supervise),
                Err(failure) if failure.exit == Exit::Absent => return Ok(None),
                Err(failure) => return Err(failure),
            };
        }
        let supervise = self.supervise.as_ref().expect("it was opened right above");
        supervise.list(true).await.map(Some).map_err(broken)
    }

    /// What a process writes, if there is somebody who could say so.
    pub fn logs(&self, name: String, past: u32) -> Option<Incoming<Line>> {
        self.supervise.as_ref().map(|supervise| supervise.logs(vec![name], past, true))
    }

    /// Says it to the supervisor; gives what to tell the user.
    pub fn wish(&self, wish: Wish) -> impl Future<Output = Result<String, Failure>> + 'static {
        let supervise = self.supervise.clone();
        async move {
            let supervise = supervise.ok_or_else(|| Failure::new(Exit::Unreachable, "the broker does not answer"))?;
            let (outcome, said) = match wish {
                Wish::Start(name) => (supervise.start(vec![name.clone()]).await, format!("{name} is to start")),
                Wish::Stop(name) => (supervise.stop(vec![name.clone()]).await, format!("{name} is to stop")),
                Wish::Kill(name) => (supervise.kill(vec![name.clone()]).await, format!("{name} is to be killed")),
                Wish::Restart(name, worker) => {
                    (supervise.restart(vec![name.clone()], worker).await, format!("{name} is to be restarted"))
                }
            };
            outcome.map(|()| said).map_err(failure)
        }
    }
}

/// One that is gone meanwhile has no oldest item.
async fn oldest(manager: &Manager, objects: &[Described]) -> BTreeMap<String, u64> {
    let queues =
        objects.iter().filter(|object| object.kind == "queue" && object.figures.get("ready").is_some_and(|ready| *ready > 0));
    let ask = |queue: &Described| {
        let (name, builder) = (queue.name.clone(), manager.raw_queue(&queue.name));
        async move {
            let stats = builder.open().await.ok()?.stats().await.ok()?;
            Some((name, stats.oldest.as_millis() as u64))
        }
    };
    join_all(queues.take(QUEUES).map(ask)).await.into_iter().flatten().collect()
}
