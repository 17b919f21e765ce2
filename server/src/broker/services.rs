//! The parts of a broker as services, and their order. It stops in the reverse:
//!
//! ```text
//!   agenda ─► sessions ─► inside ─► connections ─► listeners, side by side ─► what the program has added ─► broker
//! ```
//!
//! So whoever finds the broker finds its objects; what was added on top may use all of it until it has stopped itself; then nobody new
//! comes in, and only then those who are there are told that the broker goes.

use super::{
    Started,
    build::{Built, House},
    systemd::Notifier,
};
use crate::{
    clock::Clock,
    lifecycle::{Context, Error, Group, Node, Outcome, Service, Stack, sequence},
    objects::agenda::Agenda,
    own::Additions,
    sessions::Table,
    transport::{Listener, Server},
};
use bursar_proto::AuthKey;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{io::DuplexStream, sync::mpsc, time::timeout};
use tonic_health::ServingStatus;

/// How long connections that were cut are waited for: they go at their next await.
const CUT: Duration = Duration::from_millis(200);
/// What the stop of the connections may take over the grace and the cut: room for a loaded machine.
const MARGIN: Duration = Duration::from_secs(2);

/// A broker that was built, as services. `started` is told when all is up.
pub(super) fn stack(built: Built, started: Option<Started>) -> Result<(Stack, Arc<House>), Error> {
    let Built { house, clock, agenda, listeners, streams, mut additions, keys } = built;
    let house = Arc::new(house);
    let notifier = started.is_some().then(|| Notifier::new(agenda.clone(), clock.clone()));
    let below = Group::sequence(notifier.as_ref());
    let agenda = Arc::new(Appointments { agenda, clock });
    let sessions = Arc::new(Sessions(house.server.table.clone()));
    let on_top = Group::parallel(&additions.take_services());
    let inside = Arc::new(Inside { house: house.clone(), moving: Mutex::new(Some(Moving { streams, additions, keys })) });
    let connections = Arc::new(Connections(house.clone()));
    let entrances: Vec<Node> = listeners.into_iter().map(|listener| entrance(&house.server, listener)).collect();
    let parts = sequence![below, &agenda, &sessions, &inside, &connections, Group::parallel(&entrances), on_top];
    let broker = Whole { parts, house: house.clone(), started: Mutex::new(started), notifier };
    Ok((Stack::new(&Arc::new(broker))?, house))
}

/// Wakes objects whose time has come.
struct Appointments {
    agenda: Arc<Agenda>,
    clock: Clock,
}

impl Service for Appointments {
    fn name(&self) -> String {
        "agenda".into()
    }

    async fn start(self: Arc<Self>, context: Context) -> Outcome {
        let appointments = self.agenda.clone().run(self.clock.clone());
        context.add_task("appointments", ended(appointments));
        Ok(())
    }
}

/// Ends those that are silent.
struct Sessions(Arc<Table>);

impl Service for Sessions {
    fn name(&self) -> String {
        "sessions".into()
    }

    async fn start(self: Arc<Self>, context: Context) -> Outcome {
        let silence = self.0.clone().watch_silence();
        context.add_task("silence", ended(silence));
        Ok(())
    }
}

/// The objects that live in this process, and the way to the broker from within it.
struct Inside {
    house: Arc<House>,
    /// Until it starts.
    moving: Mutex<Option<Moving>>,
}

struct Moving {
    streams: mpsc::Receiver<DuplexStream>,
    additions: Additions,
    keys: Vec<AuthKey>,
}

impl Service for Inside {
    fn name(&self) -> String {
        "inside".into()
    }

    async fn start(self: Arc<Self>, context: Context) -> Outcome {
        let Moving { streams, additions, keys } = self.moving.lock().take().expect("it starts once");
        let House { server, residents, memory, .. } = &*self.house;
        // Those who are there are told first: as long as that takes, nobody new comes in this way either.
        let accepting = server.clone().accept(Listener::Memory(streams), server.stopping.clone());
        context.add_task("memory", ended(accepting));
        Ok(additions.move_in(residents, memory.clone(), &keys).await?)
    }

    async fn stop(self: Arc<Self>) -> Outcome {
        self.house.residents.evict();
        Ok(())
    }
}

/// Those who are connected. Each runs by itself; what is here is how they are told to go.
struct Connections(Arc<House>);

impl Service for Connections {
    fn name(&self) -> String {
        "connections".into()
    }

    fn graceful_shutdown_timeout(&self) -> Duration {
        self.0.grace + CUT + MARGIN
    }

    /// Sessions are told, whoever waits is answered, clients and the methods that run get the grace to finish, then connections are cut.
    async fn stop(self: Arc<Self>) -> Outcome {
        let House { server, health, residents, grace, .. } = &*self.0;
        tracing::info!(sessions = server.table.count(), ?grace, "stopping");
        health.set_service_status("", ServingStatus::NotServing).await;
        server.table.going_away(*grace);
        server.stopping.cancel();
        server.table.door.close();
        server.tasks.close();
        let finished = async {
            residents.finish().await;
            server.tasks.wait().await;
        };
        if timeout(*grace, finished).await.is_err() {
            tracing::info!(sessions = server.table.count(), "the grace is over: cutting what is left");
        }
        server.stopped.cancel();
        let _ = timeout(CUT, server.tasks.wait()).await;
        Ok(())
    }
}

/// Where connections come in by one address.
struct Entrance {
    name: String,
    server: Arc<Server>,
    /// Until it starts.
    listener: Mutex<Option<Listener>>,
}

fn entrance(server: &Arc<Server>, listener: Listener) -> Node {
    let name = listener.address().map_or("listener".into(), |address| address.to_string());
    Node::from(&Arc::new(Entrance { name, server: server.clone(), listener: Mutex::new(Some(listener)) }))
}

impl Service for Entrance {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn start(self: Arc<Self>, context: Context) -> Outcome {
        let listener = self.listener.lock().take().expect("it starts once");
        let accepting = self.server.clone().accept(listener, context.stopping().clone());
        context.add_task("accept", ended(accepting));
        Ok(())
    }
}

/// All of it: up when everything is, and the first to stop.
struct Whole {
    parts: Group,
    house: Arc<House>,
    started: Mutex<Option<Started>>,
    notifier: Option<Arc<Notifier>>,
}

impl Service for Whole {
    fn name(&self) -> String {
        "broker".into()
    }

    fn dependencies(&self) -> Group {
        self.parts.clone()
    }

    async fn start(self: Arc<Self>, _: Context) -> Outcome {
        if let Some(started) = self.started.lock().take() {
            started(&self.house.addresses);
        }
        if let Some(notifier) = &self.notifier {
            notifier.ready(&self.house.addresses);
        }
        Ok(())
    }

    async fn stop(self: Arc<Self>) -> Outcome {
        if let Some(notifier) = &self.notifier {
            notifier.stopping();
        }
        Ok(())
    }
}

/// What runs as long as its service does: should it end, the broker stops and says so.
async fn ended(task: impl Future<Output = ()>) -> Outcome {
    task.await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{Broker, ServeError, config::Config};
    use bursar_proto::AuthKey;

    #[tokio::test]
    async fn a_part_that_ends_by_itself_takes_the_broker_with_it() {
        let key = AuthKey::weak(b"0123456789abcdef");
        let mut broker = Broker::start_with_keys(Config::default(), vec![key]).await.unwrap();
        // Nobody is let in from within any more, and nobody has asked for that.
        broker.house.server.stopping.cancel();
        broker.ending().await;
        let Err(ServeError::Service(error)) = broker.wait().await else { panic!("it says so") };
        let expected = "the task memory of the service inside failed: it ended, although nobody had stopped it";
        assert_eq!(error.to_string(), expected);
        assert!(broker.connector().connect().await.is_err(), "it is down");
    }
}
