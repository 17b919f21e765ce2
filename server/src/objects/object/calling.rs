//! The verbs of callers: calling, hearing what became of it, reading a stream.

use super::{
    Change, Command, Decision, End, Invocation, Link, Moment, Object, Outcome, Reply, SessionId, Stage, Value,
    calls::{self, Call},
};
use bursar_proto::{Fault, limits};
use std::sync::Arc;

// What is decided.

impl Object {
    pub(super) fn invoke(
        &self,
        caller: SessionId,
        invocation: &Arc<Invocation>,
        deadline: Option<Moment>,
    ) -> Result<Decision<Object>, Fault> {
        self.check_method(invocation)?;
        self.check_limits(caller, invocation)?;
        self.check_cycle(invocation)?;
        let change = Change::Invoked { session: caller, invocation: invocation.clone(), deadline };
        Ok(Decision::Enter(change, Command::Outcome { call: self.calls.last() + 1 }))
    }

    /// Whoever waits for a provider is looked at when one has come.
    fn check_method(&self, invocation: &Invocation) -> Result<(), Fault> {
        match self.description.as_ref().filter(|_| !self.providers.is_empty()) {
            Some(description) => description.check(invocation)?,
            None if invocation.waits_for_provider => return Ok(()),
            None => return Err(Fault::NoProvider {}),
        }
        match invocation.waits_for_provider || self.is_served(&invocation.method) {
            true => Ok(()),
            false => Err(Fault::NoProvider {}),
        }
    }

    fn check_limits(&self, caller: SessionId, invocation: &Invocation) -> Result<(), Fault> {
        let options = self.options;
        if self.calls.len() as u64 >= options.calls {
            return Err(Fault::TooManyCalls { what: "this object".into(), limit: options.calls });
        }
        if self.calls.of(caller) >= options.calls_per_session {
            return Err(Fault::TooManyCalls { what: "this session, at this object".into(), limit: options.calls_per_session });
        }
        let size = invocation.size();
        match self.calls.bytes().saturating_add(size) as u64 > options.bytes {
            true => Err(Fault::TooManyBytes { size: size as u64, limit: options.bytes }),
            false => Ok(()),
        }
    }

    /// Whether calls that wait for this one have what it needs: the turn of the serial methods, or all the capacity of those who serve it.
    fn check_cycle(&self, invocation: &Invocation) -> Result<(), Fault> {
        let waits_here = |link: &&Link| {
            let is_given = |call: &Call| matches!(call.stage, Stage::Given(_));
            link.epoch == self.epoch && self.calls.get(link.call).is_some_and(is_given)
        };
        let above: Vec<&Link> = invocation.chain.iter().filter(waits_here).collect();
        let Some(first) = above.first() else { return Ok(()) };
        let flags = calls::flags(self.description.as_deref(), &invocation.method, self.options.serial);
        let needs_turn = flags.is_some_and(|flags| flags.serial);
        let in_turn = above.iter().find(|link| Some(link.call) == self.calls.running_serial()).filter(|_| needs_turn);
        match in_turn.or(self.is_full_of(&above, &invocation.method).then_some(first)) {
            Some(link) => Err(Fault::CallCycle { cycle: cycle(link, invocation) }),
            None => Ok(()),
        }
    }

    /// Whether these calls have all the capacity of those who serve the method.
    fn is_full_of(&self, calls: &[&Link], method: &str) -> bool {
        let serving: Vec<_> = self.providers.values().filter(|provider| provider.methods.contains(method)).collect();
        let capacity: u64 = serving.iter().map(|provider| provider.capacity).sum();
        let held = calls.iter().filter(|link| serving.iter().any(|provider| provider.given.contains(&link.call))).count();
        !serving.is_empty() && held as u64 >= capacity
    }

    pub(super) fn outcome(&self, id: u64) -> Result<Decision<Object>, Fault> {
        let call = self.calls.get(id).ok_or(Fault::NoSuchCall { call: id })?;
        if !call.is_wanted {
            return Err(Fault::Unanswered {});
        }
        let told = |outcome| Decision::Change(Change::Told { call: id }, Reply::Invoke(outcome));
        let stream = || Decision::Change(Change::Begun { call: id }, Reply::Invoke(Outcome::Stream(id)));
        Ok(match &call.stage {
            _ if !call.items().is_empty() => stream(),
            Stage::Waiting | Stage::Given(_) => Decision::Wait,
            Stage::Over(End::Result(value)) => told(Outcome::Result(value.clone())),
            Stage::Over(End::Failure(failure)) => told(Outcome::Failure(failure.clone())),
            Stage::Over(End::Ended) => stream(),
            Stage::Over(End::Fault(fault)) => refused(id, fault),
        })
    }

    /// A stream that is the caller's.
    pub(super) fn stream_of(&self, caller: SessionId, id: u64) -> Result<&Call, Fault> {
        let is_own = |call: &&Call| call.session == caller && call.is_begun && call.is_wanted;
        self.calls.get(id).filter(is_own).ok_or(Fault::NoSuchCall { call: id })
    }

    pub(super) fn next(&self, caller: SessionId, id: u64, max: usize) -> Result<Decision<Object>, Fault> {
        let stream = self.stream_of(caller, id)?;
        let items = first(stream, max);
        let is_all = items.len() == stream.items().len();
        let end = match &stream.stage {
            Stage::Over(End::Fault(fault)) if items.is_empty() => return Ok(refused(id, fault)),
            Stage::Over(end @ (End::Ended | End::Failure(_))) if is_all => Some(end.clone()),
            _ if items.is_empty() => return Ok(Decision::Wait),
            _ => None,
        };
        let change = Change::Read { call: id, count: items.len() as u64, over: end.is_some() };
        Ok(Decision::Change(change, Reply::Next { call: id, items, end }))
    }

    pub(super) fn abandon(&self, caller: SessionId, call: u64) -> Decision<Object> {
        match self.stream_of(caller, call) {
            Ok(_) => Decision::Change(Change::TakenBack { call }, Reply::Abandon),
            Err(_) => Decision::Answer(Reply::Abandon),
        }
    }
}

/// The call is forgotten, and its caller told why.
fn refused(call: u64, fault: &Fault) -> Decision<Object> {
    Decision::Enter(Change::Told { call }, Command::Refused { call, fault: fault.clone() })
}

fn first(stream: &Call, max: usize) -> Vec<Value> {
    let (mut count, mut bytes) = (0, 0);
    let fits = |item: &&Value| {
        bytes += item.data.len();
        count += 1;
        count == 1 || (count <= max && bytes <= limits::REPLY_BYTES_MAX)
    };
    stream.items().iter().take_while(fits).cloned().collect()
}

/// From the call that has what is needed, by all that wait for it, back to its object.
fn cycle(from: &Link, Invocation { object, method, chain, .. }: &Invocation) -> String {
    let links = chain.iter().skip_while(|link| *link != from);
    let links: String = links.map(|link| format!("{}.{} (call {}) -> ", link.object, link.method, link.call)).collect();
    format!("{links}{object}.{method}")
}

// What happens.

impl Object {
    pub(super) fn enter(&mut self, session: SessionId, invocation: Arc<Invocation>, deadline: Option<Moment>) {
        let mut call = Call::new(session, invocation, deadline);
        call.flags = calls::flags(self.description.as_deref(), &call.invocation.method, self.options.serial);
        let id = self.calls.last() + 1;
        self.calls.set_last(id);
        self.calls.insert(id, call);
    }

    /// What no provider has heard of was not carried out, and its caller is told so.
    pub(super) fn run_out(&mut self, id: u64) {
        self.take_offer_back(id);
        match self.calls.get(id).map(|call| (&call.stage, call.lost, self.is_served(&call.invocation.method))) {
            Some((Stage::Given(provider), ..)) => self.unwant(id, *provider),
            Some((Stage::Waiting, lost, is_served)) => {
                let fault = match (lost, is_served) {
                    (0, true) => Fault::TimedOut { what: "no provider was free to take the call".to_owned() },
                    (0, false) => Fault::NoProvider {},
                    _ => Fault::ProviderGone {},
                };
                self.fail(id, fault);
            }
            Some((Stage::Over(_), ..)) | None => {}
        }
    }

    pub(super) fn take_back(&mut self, id: u64) {
        self.take_offer_back(id);
        match self.calls.get(id).map(|call| &call.stage) {
            Some(Stage::Given(provider)) => self.unwant(id, *provider),
            Some(_) => _ = self.calls.remove(id),
            None => {}
        }
    }

    pub(super) fn read(&mut self, id: u64, count: u64, over: bool) {
        match over {
            true => _ = self.calls.remove(id),
            false => self.calls.change(id, |call| call.take_items(usize::try_from(count).unwrap_or(usize::MAX))),
        }
    }

    /// The stream was forgotten if its end was among what was not heard.
    pub(super) fn unread(&mut self, session: SessionId, id: u64, items: Vec<Value>, end: Option<End>) {
        if let (None, Some(end)) = (self.calls.get(id), end) {
            let invocation = Invocation {
                object: Arc::default(),
                method: Arc::default(),
                arguments: Vec::new(),
                chain: Vec::new(),
                waits_for_provider: false,
            };
            let mut call = Call::new(session, Arc::new(invocation), None);
            (call.stage, call.is_begun) = (Stage::Over(end), true);
            self.calls.insert(id, call);
        }
        self.calls.change(id, |call| call.put_items_back(items));
    }

    /// A session went. Its own calls first: nobody is to get one of them.
    pub(super) fn forget(&mut self, session: SessionId) {
        let is_own = |call: &Call| call.session == session && call.is_wanted;
        let own: Vec<u64> = self.calls.all().filter(|(_, call)| is_own(call)).map(|(id, _)| id).collect();
        own.into_iter().for_each(|call| self.take_back(call));
        let of = |provider: &super::Provider| provider.session == session;
        let gone: Vec<u64> = self.providers.iter().filter(|(_, provider)| of(provider)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|provider| self.let_go(provider));
    }
}
