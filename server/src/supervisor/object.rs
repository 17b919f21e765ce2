//! The supervisor as clients see it: the object that it is served as, and what of it is not for everybody.

use super::{Shared, Supervisor, environment, ledger::Facts, lines, order::Wish};
use bursar::{
    object::{Answer, Answering, Call, Description, Failed, IntoService, Service, Stream},
    processes::{Activity, Line, Process, Refused, Spec, Supervise, Surroundings, Until, Workers, signal_number},
};
use bursar_supervisor::plan::{Input, Wish as PlanWish};
use futures_util::{StreamExt, stream};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// What gives a client commands of its own to be run as the broker's user, or shows what may be secret.
const FOR_OWN_USER: [&str; 2] = ["add", "surroundings"];

/// The service: as [`Supervisor`], for whom it is.
pub struct Guarded {
    supervisor: Supervisor,
    service: Arc<dyn Service>,
}

impl Guarded {
    pub fn new(supervisor: Supervisor) -> Arc<Guarded> {
        Arc::new(Guarded { service: Arc::new(supervisor.clone()).into_service(), supervisor })
    }

    fn may(&self, call: &Call) -> bool {
        !FOR_OWN_USER.contains(&call.method.as_str())
            || self.supervisor.shared().is_ok_and(|shared| shared.world.table.is_of_own_user(call.session))
    }
}

impl Service for Guarded {
    fn description(&self) -> Description {
        self.service.description()
    }

    fn call(self: Arc<Self>, call: Call) -> Answering {
        Box::pin(async move {
            self.supervisor.has_begun().await;
            if self.may(&call) {
                return self.service.clone().call(call).await;
            }
            Answer::Failed(Failed::of("Refused", &Refused::NotAllowed { what: call.method }))
        })
    }
}

impl Supervise for Supervisor {
    async fn add(&self, spec: Spec, start: bool) -> Result<(), Refused> {
        self.shared()?.add(spec, start)
    }

    async fn remove(&self, name: String) -> Result<(), Refused> {
        self.shared()?.remove(&name)
    }

    async fn list(&self, usage: bool) -> Vec<Process> {
        let Ok(shared) = self.shared() else { return Vec::new() };
        let look = move || shared.all().iter().map(|kept| kept.ledger.view(usage)).collect();
        // What they use stands in many files.
        if usage { spawn_blocking(look).await.unwrap_or_default() } else { look() }
    }

    async fn start(&self, names: Vec<String>) -> Result<(), Refused> {
        self.wish(Wish::Start, &names)
    }

    async fn stop(&self, names: Vec<String>) -> Result<(), Refused> {
        self.wish(Wish::Stop, &names)
    }

    async fn kill(&self, names: Vec<String>) -> Result<(), Refused> {
        self.wish(Wish::Kill, &names)
    }

    async fn restart(&self, names: Vec<String>, worker: Option<u32>) -> Result<(), Refused> {
        let names = match names.is_empty() {
            // Who was stopped stays so, unless it is named.
            true => self.shared()?.wanted(),
            false => names,
        };
        for name in &names {
            self.shared()?.check_worker(name, worker)?;
        }
        if names.is_empty() { Ok(()) } else { self.wish(Wish::Restart(worker), &names) }
    }

    async fn scale(&self, name: String, workers: u32) -> Result<(), Refused> {
        let kept = self.shared()?.find(&name)?;
        let spec = kept.ledger.look(|facts| Spec { workers: Workers::Fixed(workers), ..facts.spec.clone() });
        spec.check().map_err(|problems| Refused::BadSpec { name, problem: problems.join("; ") })?;
        kept.ledger.say(None, "scaled", format!("{workers} workers"));
        kept.ledger.write(|facts| {
            facts.spec.workers = Workers::Fixed(workers);
            facts.goal.version += 1;
        });
        Ok(())
    }

    async fn signal(&self, name: String, signal: i32, worker: Option<u32>) -> Result<(), Refused> {
        let shared = self.shared()?;
        shared.check_worker(&name, worker)?;
        let kept = shared.find(&name)?;
        signal_number(&signal.to_string()).map_err(|problem| Refused::BadSpec { name, problem })?;
        let wish = worker.map_or(PlanWish::Signal(signal), |worker| PlanWish::SignalOne(worker, signal));
        kept.process.wish(wish).await;
        Ok(())
    }

    async fn wait(&self, name: String, until: Until) -> Result<Process, Refused> {
        let ledger = self.shared()?.find(&name)?.ledger.clone();
        ledger.until(|facts| facts.is_forgotten || facts.is_so(until)).await;
        Ok(ledger.view(false))
    }

    async fn is_alive(&self, name: String) -> bool {
        let is_alive = |facts: &Facts| facts.runs.values().any(|running| running.pid.is_some() && !running.has_exited());
        self.shared().and_then(|shared| shared.find(&name)).is_ok_and(|kept| kept.ledger.look(is_alive))
    }

    fn logs(&self, names: Vec<String>, tail: u32, follow: bool) -> impl Stream<Item = Line> {
        let shared = self.shared().map(|shared| Arc::downgrade(&shared)).unwrap_or_default();
        lines::read(shared, names, tail, follow)
    }

    fn activity(&self, past: u32) -> impl Stream<Item = Activity> {
        match self.shared() {
            Ok(shared) => shared.world.history.follow(past).boxed(),
            Err(_) => stream::empty().boxed(),
        }
    }

    async fn surroundings(&self, name: String) -> Result<Surroundings, Refused> {
        let shared = self.shared()?;
        let spec = shared.find(&name)?.ledger.look(|facts| facts.spec.clone());
        environment::surroundings(&spec, &shared.world.connection).map_err(|problem| Refused::BadSpec { name, problem })
    }

    async fn end_worker_of(&self, session: u64) -> bool {
        let Ok(shared) = self.shared() else { return false };
        for kept in shared.all() {
            let is_of = |number: u64| shared.world.table.sessions_of_run(number).contains(&session);
            let runs =
                kept.ledger.look(|facts| facts.runs.iter().map(|(run, running)| (*run, running.number)).collect::<Vec<_>>());
            let Some((run, _)) = runs.into_iter().find(|(_, number)| is_of(*number)) else { continue };
            kept.process.tell(Input::End(run)).await;
            let ledger = kept.ledger.clone();
            drop(kept);
            ledger.until(|facts| !facts.runs.contains_key(&run)).await;
            return true;
        }
        false
    }

    async fn shut_down(&self) -> Result<(), Refused> {
        let shared = self.shared()?;
        shared.shut_down();
        Ok(())
    }
}

impl Shared {
    /// There is a process of this name, and a worker of this number, if one was said.
    fn check_worker(&self, name: &str, worker: Option<u32>) -> Result<(), Refused> {
        let count = self.find(name)?.ledger.look(|facts| facts.states.workers.len());
        match worker.filter(|worker| *worker as usize >= count) {
            Some(worker) => {
                let problem = format!("there is no worker {worker}: it has {count}, from 0 on");
                Err(Refused::BadSpec { name: name.to_owned(), problem })
            }
            None => Ok(()),
        }
    }
}

impl Supervisor {
    fn wish(&self, wish: Wish, names: &[String]) -> Result<(), Refused> {
        let shared: Arc<Shared> = self.shared()?;
        let names = match names {
            [] => shared.all().iter().map(|kept| kept.ledger.name.clone()).collect(),
            names => names.to_vec(),
        };
        names.iter().try_for_each(|name| shared.find(name).map(drop))?;
        shared.wish(wish, &names);
        Ok(())
    }
}
