//! Carries out a plan: starts its services along the lines, waits, stops them along the same lines backwards. What the order is was
//! decided in `graph.rs`.

use crate::{Context, Error, Flaw, Node, Reason, context::Shared, graph::Step};
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::oneshot, time};

/// How long one waits for what was cut off. It goes at its next await; only what never awaits is left behind.
const CUT: Duration = Duration::from_millis(100);

/// A plan under way. One task owns it, from the first start to the last stop.
pub(crate) struct Drive {
    members: Vec<Member>,
    shared: Arc<Shared>,
    /// For all stops together.
    budget: Option<Duration>,
}

struct Member {
    node: Node,
    context: Context,
    before: BTreeSet<usize>,
    after: BTreeSet<usize>,
    /// Its start has succeeded. Set by the start itself: who is told of it may not be there any more.
    is_up: Arc<AtomicBool>,
}

impl Drive {
    pub fn new(steps: Vec<Step>, shared: Arc<Shared>, budget: Option<Duration>) -> Drive {
        let member = |Step { node, before, after }| {
            let context = Context::new(node.name(), shared.clone());
            Member { node, context, before, after, is_up: Arc::default() }
        };
        Drive { members: steps.into_iter().map(member).collect(), shared: shared.clone(), budget }
    }

    /// From the first start to the last stop. `up` is told when all are up.
    pub async fn run(self, up: oneshot::Sender<()>) -> Result<(), Error> {
        self.start().await;
        if !self.shared.stop.is_cancelled() {
            // Who does not listen any more has asked for the stop.
            let _ = up.send(());
            self.shared.stop.cancelled().await;
        }
        self.stop().await;
        Error::of(self.shared.take_reasons()).map_or(Ok(()), Err)
    }

    /// Until all are up, or the stack is to stop.
    async fn start(&self) {
        let mut missing: Vec<usize> = self.members.iter().map(|member| member.before.len()).collect();
        let mut starting: FuturesUnordered<_> =
            (0..missing.len()).filter(|place| missing[*place] == 0).map(|place| self.start_one(place)).collect();
        loop {
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return,
                started = starting.next() => match started {
                    None => return,
                    Some(place) => for next in released(&self.members[place].after, &mut missing) {
                        starting.push(self.start_one(next));
                    },
                },
            }
        }
    }

    /// Ends when it is up. When it fails, the stack is told, and this never ends.
    async fn start_one(&self, place: usize) -> usize {
        let Member { node, context, is_up, .. } = &self.members[place];
        let until = if node.finishes_start() { context.cut() } else { context.stopping() };
        let (node, is_up, given) = (node.clone(), is_up.clone(), context.clone());
        let start = async move {
            node.start(given).await?;
            is_up.store(true, Ordering::Release);
            Ok(())
        };
        match ended(context.spawn("its start", until.clone(), Box::pin(start)).await) {
            Some(Ok(())) => {
                tracing::debug!(service = context.service(), "started");
                return place;
            }
            Some(Err(flaw)) => self.shared.fail(Reason::Start { service: context.service().to_owned(), flaw }),
            None => {}
        }
        std::future::pending().await
    }

    /// Everybody, each when those who need it have stopped.
    async fn stop(&self) {
        let mut missing: Vec<usize> = self.members.iter().map(|member| member.after.len()).collect();
        let mut left: BTreeSet<usize> = (0..missing.len()).collect();
        let mut stopping: FuturesUnordered<_> =
            (0..missing.len()).filter(|place| missing[*place] == 0).map(|place| self.stop_one(place)).collect();
        let mut over = pin!(async {
            match self.budget {
                Some(budget) => time::sleep(budget).await,
                None => std::future::pending().await,
            }
        });
        while !left.is_empty() {
            tokio::select! {
                biased;
                () = self.shared.cut.cancelled() => break,
                Some(place) = stopping.next() => {
                    left.remove(&place);
                    for next in released(&self.members[place].before, &mut missing) {
                        stopping.push(self.stop_one(next));
                    }
                }
                () = &mut over => break,
            }
        }
        drop(stopping);
        self.cut(&left).await;
    }

    /// Those who have not stopped in time.
    async fn cut(&self, left: &BTreeSet<usize>) {
        let left: Vec<&Member> = left.iter().map(|place| &self.members[*place]).filter(|member| member.is_there()).collect();
        if left.is_empty() {
            return;
        }
        let services = left.iter().map(|member| member.context.service().to_owned()).collect();
        self.shared.fail(match self.budget {
            Some(budget) if !self.shared.cut.is_cancelled() => Reason::StackOverrun { budget, services },
            _ => Reason::StoppedAtOnce { signal: self.shared.second_signal(), services },
        });
        self.shared.cut.cancel();
        let gone = async {
            for member in left {
                member.context.idle().await;
            }
        };
        let _ = time::timeout(CUT, gone).await;
    }

    async fn stop_one(&self, place: usize) -> usize {
        let member = &self.members[place];
        let (context, budget) = (&member.context, member.node.graceful_shutdown_timeout());
        let service = context.service();
        match time::timeout(budget, member.stop()).await {
            Ok(Ok(())) if member.is_up.load(Ordering::Acquire) => tracing::debug!(service, "stopped"),
            Ok(Ok(())) => {}
            Ok(Err(flaw)) => self.shared.fail(Reason::Stop { service: service.to_owned(), flaw }),
            Err(_) => {
                self.shared.fail(Reason::Overrun { service: service.to_owned(), budget, what_ran: context.running() });
                context.cut().cancel();
                let _ = time::timeout(CUT, context.idle()).await;
            }
        }
        place
    }
}

impl Member {
    /// Its tasks end, and its start, if that is still under way; then it is stopped, if it had come up.
    async fn stop(&self) -> Result<(), Flaw> {
        self.context.stopping().cancel();
        self.context.idle().await;
        if !self.is_up.load(Ordering::Acquire) {
            return Ok(());
        }
        let node = self.node.clone();
        let stop = Box::pin(async move { node.stop().await });
        ended(self.context.spawn("its stop", self.context.cut().clone(), stop).await).unwrap_or(Ok(()))
    }

    /// Something of it is left, or may be.
    fn is_there(&self) -> bool {
        self.is_up.load(Ordering::Acquire) || !self.context.running().is_empty()
    }
}

/// Those of the neighbours who waited for this one only.
fn released(neighbours: &BTreeSet<usize>, missing: &mut [usize]) -> Vec<usize> {
    for neighbour in neighbours {
        missing[*neighbour] -= 1;
    }
    neighbours.iter().copied().filter(|neighbour| missing[*neighbour] == 0).collect()
}

/// None: it was cut off, or the runtime ends.
fn ended(joined: Result<Option<Result<(), Flaw>>, tokio::task::JoinError>) -> Option<Result<(), Flaw>> {
    match joined {
        Ok(ended) => ended,
        Err(error) => error.try_into_panic().ok().map(|panic| Err(Flaw::Panic(crate::context::message(&*panic)))),
    }
}
