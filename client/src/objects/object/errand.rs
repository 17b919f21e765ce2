//! Calls that are carried out where they come in, without a Take: for an object that the broker's own process serves.

use super::{
    Arguments, Call, Items, Service,
    attempt::{Attempt, Pace},
    context::Context,
    driver,
    link::Link,
    wire,
};
use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::{Duration, Instant},
};

/// How fast the methods of a service are, by name.
#[derive(Clone, Default)]
pub struct Paces(Arc<HashMap<String, Arc<Pace>>>);

impl Paces {
    /// Of a service that was not called yet.
    pub fn of(service: &dyn Service) -> Paces {
        let methods = service.description().methods;
        Paces(Arc::new(methods.into_iter().map(|method| (method.name, Arc::default())).collect()))
    }

    pub(super) fn get(&self, method: &str) -> Option<&Arc<Pace>> {
        self.0.get(method)
    }

    /// Whether it keeps others waiting for longer than a task of its own costs.
    pub fn is_slow(&self, method: &str) -> bool {
        self.get(method).is_some_and(|pace| pace.is_slow())
    }
}

/// One call of a method that is no stream.
pub struct Errand {
    attempt: Attempt,
    payload_bytes_max: u64,
}

impl Errand {
    /// Nothing happens before it is polled.
    pub fn new(service: &Arc<dyn Service>, link: &Arc<dyn Link>, paces: &Paces, given: wire::Given) -> Errand {
        let wire::Given { call, method, arguments, session, left_ms, chain, again, stream } = given;
        let pace = paces.get(&method).cloned();
        let deadline = u64::try_from(left_ms).ok().and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
        let arguments = Arguments::new(arguments, link.manager().cloned());
        let items = Items::new(link.clone(), 0, call);
        let begun = Call { method, arguments, items, is_stream: stream, session, deadline, again };
        let attempt = Attempt::new(service.clone(), begun, Context::new(chain, deadline), pace);
        Errand { attempt, payload_bytes_max: link.payload_bytes_max() }
    }

    /// Polls it once, where a quick method is done.
    pub fn look(&mut self) -> Poll<wire::outcome::Outcome> {
        self.attempt.look().map(|answer| driver::outcome(answer, false, self.payload_bytes_max))
    }
}

impl Future for Errand {
    type Output = wire::outcome::Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<wire::outcome::Outcome> {
        let limit = self.payload_bytes_max;
        Pin::new(&mut self.attempt).poll(context).map(|answer| driver::outcome(answer, false, limit))
    }
}
