//! The verbs of providers: who serves, who takes which call, how calls end.

use super::{
    Change, Command, Decision, Description, End, Given, Moment, Object, Provider, Reply, SessionId, Stage,
    calls::{self, Call},
};
use bursar_proto::{Fault, limits};
use std::{cmp::Reverse, sync::Arc};

/// Whoever waits for calls is looked at for every call. More processes want several objects.
const PROVIDERS_MAX: usize = 1_000;
/// Providers that may go with one call, however idempotent it is: it may be what they die of.
const LOST_MAX: u32 = 3;

/// What a Take is told that found none.
pub(super) fn no_call() -> Fault {
    Fault::TimedOut { what: "no call came".to_owned() }
}

// What is decided.

impl Object {
    /// A provider that is the caller's.
    pub(super) fn provider_of(&self, caller: SessionId, id: u64) -> Result<&Provider, Fault> {
        match self.providers.get(&id) {
            Some(provider) if provider.session == caller => Ok(provider),
            _ => Err(Fault::NoSuchProvider { provider: id }),
        }
    }

    pub(super) fn provide(
        &self,
        caller: SessionId,
        description: &Arc<Description>,
        capacity: u64,
    ) -> Result<Decision<Object>, Fault> {
        if self.providers.len() >= PROVIDERS_MAX {
            return Err(Fault::LimitReached { what: "providers of this object".into(), limit: PROVIDERS_MAX as u64 });
        }
        if let Some(known) = self.description.as_ref().filter(|_| !self.providers.is_empty()) {
            known.and(description)?;
        }
        let reply = Reply::Provide { provider: self.last_provider + 1 };
        Ok(Decision::Change(Change::Provided { session: caller, description: description.clone(), capacity }, reply))
    }

    pub(super) fn withdraw(&self, caller: SessionId, provider: u64) -> Result<Decision<Object>, Fault> {
        self.provider_of(caller, provider)?;
        Ok(Decision::Change(Change::Withdrawn { provider }, Reply::Withdraw))
    }

    /// `ask`: under which it waits already.
    pub(super) fn take(
        &self,
        caller: SessionId,
        provider: u64,
        max: usize,
        ask: Option<u64>,
        now: Moment,
    ) -> Result<Decision<Object>, Fault> {
        let taker = self.provider_of(caller, provider)?;
        if ask.is_some_and(|ask| !taker.asks.contains(&ask)) {
            return Err(no_call());
        }
        if max == 0 && !taker.asks.is_empty() {
            // Whoever leaves asks for nothing more: those that wait are answered, so that no call is under way unseen.
            return Ok(Decision::Enter(Change::Stopped { provider, ask: 0 }, Command::Take { provider, max }));
        }
        let calls = self.next_for(taker, max);
        let cancelled: Vec<u64> = taker.cancelled.iter().take(limits::BATCH_MAX).copied().collect();
        if calls.is_empty() && cancelled.is_empty() {
            return Ok(match ask {
                Some(_) => Decision::Wait,
                None if max == 0 => Decision::Wait,
                None => Decision::Enter(Change::Asked { provider }, Command::Await { provider, max, ask: self.last_ask + 1 }),
            });
        }
        let given = calls.iter().filter_map(|id| Some(self.given(*id, self.calls.get(*id)?, now))).collect();
        let change = Change::Taken { provider, ask: ask.unwrap_or(0), calls, cancelled: cancelled.clone() };
        Ok(Decision::Change(change, Reply::Take { provider, calls: given, cancelled }))
    }

    /// What it was offered, and what it may take besides.
    fn next_for(&self, provider: &Provider, max: usize) -> Vec<u64> {
        if max == 0 {
            return Vec::new();
        }
        let room = usize::try_from(provider.free()).unwrap_or(usize::MAX);
        let more = self.calls.ready(&provider.methods).take(room);
        let (mut count, mut bytes) = (0, 0);
        let fits = |id: &u64| {
            bytes += self.calls.get(*id).map_or(0, |call| call.invocation.size());
            count += 1;
            count == 1 || (count <= max && bytes <= limits::REPLY_BYTES_MAX)
        };
        provider.offered.iter().copied().chain(more).take_while(fits).collect()
    }

    fn given(&self, id: u64, call: &Call, now: Moment) -> Given {
        Given {
            call: id,
            epoch: self.epoch,
            invocation: call.invocation.clone(),
            session: call.session,
            left_ms: call.deadline.map(|deadline| deadline.ms_since(now)),
            again: call.lost > 0,
            stream: call.is_stream(),
        }
    }

    /// As when a Give had come before a Take: it waits on as a Take alone.
    pub(super) fn give_and_take(
        &self,
        caller: SessionId,
        provider: u64,
        ends: &[(u64, Option<End>)],
        max: usize,
        now: Moment,
    ) -> Result<Decision<Object>, Fault> {
        match self.give(caller, provider, ends)? {
            Decision::Change(given, _) => Ok(Decision::Enter(given, Command::Take { provider, max })),
            _ => self.take(caller, provider, max, None, now),
        }
    }

    pub(super) fn give(&self, caller: SessionId, provider: u64, ends: &[(u64, Option<End>)]) -> Result<Decision<Object>, Fault> {
        let giver = self.provider_of(caller, provider)?;
        let has = |call: u64| giver.given.contains(&call).then(|| self.calls.get(call)).flatten();
        for (id, end) in ends {
            if let Some(call) = has(*id).filter(|call| call.is_wanted) {
                check_end(*id, call, end.as_ref())?;
            }
        }
        let is_wanted = |call: u64| has(call).is_some_and(|call| call.is_wanted);
        let unwanted = ends.iter().map(|(call, _)| *call).filter(|call| !is_wanted(*call)).collect();
        let ends: Vec<_> = ends.iter().filter(|(call, _)| has(*call).is_some()).cloned().collect();
        let reply = Reply::Give { unwanted };
        Ok(match ends.is_empty() {
            true => Decision::Answer(reply),
            false => Decision::Change(Change::Answered { provider, ends }, reply),
        })
    }

    pub(super) fn r#yield(
        &self,
        caller: SessionId,
        provider: u64,
        call: u64,
        items: &[super::Value],
    ) -> Result<Decision<Object>, Fault> {
        let has = self.provider_of(caller, provider)?.given.contains(&call);
        let stream = self.calls.get(call).filter(|call| has && call.is_wanted).ok_or(Fault::NoSuchCall { call })?;
        if !stream.is_stream() {
            return Err(Fault::bad_argument("call", format!("expected a call of a stream, and {call} expects one result")));
        }
        Ok(match stream.room_for(items) {
            _ if self.is_clogged() => Decision::Wait,
            0 => Decision::Wait,
            count => {
                Decision::Change(Change::Yielded { call, items: items[..count].to_vec() }, Reply::Yield { taken: count as u64 })
            }
        })
    }
}

impl Object {
    /// Whether so many items are not read that no stream gets more. Callers that read none must not fill the memory, however many
    /// streams they have.
    pub(super) fn is_clogged(&self) -> bool {
        self.calls.item_bytes() as u64 > self.options.bytes
    }
}

/// Whether a call may end so.
fn check_end(id: u64, call: &Call, end: Option<&End>) -> Result<(), Fault> {
    let problem = match end {
        Some(End::Result(_)) if call.is_stream() => "expected items, and their end: the method is a stream, got one result",
        Some(End::Ended) if !call.is_stream() => "expected one result, got the end of a stream",
        None if call.has_yielded() => "expected an end, got that it was not begun, of a stream with items",
        _ => return Ok(()),
    };
    Err(Fault::bad_argument("outcomes", format!("{problem} (call {id})")))
}

// What happens.

impl Object {
    pub(super) fn begin_to_provide(&mut self, session: SessionId, description: &Arc<Description>, capacity: u64) {
        let known = self.description.as_ref().filter(|_| !self.providers.is_empty());
        self.description = Some(match known.map(|known| known.and(description)) {
            Some(Ok(both)) => Arc::new(both),
            _ => description.clone(),
        });
        self.last_provider += 1;
        let methods = description.methods.keys().cloned().collect();
        self.providers.insert(self.last_provider, Provider::new(session, capacity, methods));
        self.learn();
        // Who waited for a provider learns only now what the object can do.
        for id in self.waiting() {
            let known = self.description.as_ref().zip(self.calls.get(id));
            if let Some((description, call)) = known
                && let Err(fault) = description.check(&call.invocation)
            {
                let fault = if call.lost > 0 { Fault::ProviderGone {} } else { fault };
                self.fail(id, fault);
            }
        }
    }

    /// No provider says how it ended.
    pub(super) fn fail(&mut self, id: u64, fault: Fault) {
        self.counters.gone += u64::from(fault == Fault::ProviderGone {});
        self.calls.change(id, |call| call.end(End::Fault(fault)));
    }

    /// What the description says of the calls that are there.
    pub(super) fn learn(&mut self) {
        let (description, serial) = (self.description.clone(), self.options.serial);
        self.calls.learn(|method| calls::flags(description.as_deref(), method, serial));
    }

    fn waiting(&self) -> Vec<u64> {
        self.calls.all().filter(|(_, call)| call.stage == Stage::Waiting).map(|(id, _)| id).collect()
    }

    /// A provider goes. What it never heard of, or may be done twice, waits again in its old place.
    pub(super) fn let_go(&mut self, provider: u64) {
        let Some(provider) = self.providers.remove(&provider) else { return };
        for id in provider.given {
            let Some(call) = self.calls.get(id) else { continue };
            let is_idempotent = call.flags.is_some_and(|flags| flags.idempotent) && !call.has_yielded();
            if !call.is_wanted {
                self.calls.remove(id);
            } else if provider.offered.contains(&id) {
                self.calls.change(id, |call| call.stage = Stage::Waiting);
            } else if is_idempotent && call.lost + 1 < LOST_MAX {
                self.counters.given_again += 1;
                self.calls.change(id, |call| (call.lost, call.stage) = (call.lost + 1, Stage::Waiting));
            } else {
                self.fail(id, Fault::ProviderGone {});
            }
        }
        self.fail_unserved();
    }

    /// Calls that wait for nobody, and would not wait for somebody to come.
    fn fail_unserved(&mut self) {
        for id in self.waiting() {
            let Some(call) = self.calls.get(id) else { continue };
            if !call.invocation.waits_for_provider && !self.is_served(&call.invocation.method) {
                let fault = if call.lost > 0 { Fault::ProviderGone {} } else { Fault::NoProvider {} };
                self.fail(id, fault);
            }
        }
    }

    pub(super) fn is_served(&self, method: &str) -> bool {
        self.providers.values().any(|provider| provider.methods.contains(method))
    }

    pub(super) fn begin_to_ask(&mut self, provider: u64) {
        self.last_ask += 1;
        if let Some(provider) = self.providers.get_mut(&provider) {
            provider.asks.insert(self.last_ask);
        }
    }

    pub(super) fn stop_asking(&mut self, provider: u64, ask: u64) {
        if let Some(provider) = self.providers.get_mut(&provider) {
            provider.asks.retain(|other| ask != 0 && *other != ask);
        }
    }

    /// Calls that may be begun, to those who ask: to the one with the most free capacity, of equals to the one that waits longest.
    pub(super) fn offer(&mut self) {
        while self.calls.is_any_ready()
            && let Some((provider, call)) = self.next_offer()
        {
            self.hand(provider, call);
            if let Some(provider) = self.providers.get_mut(&provider) {
                provider.offered.insert(call);
            }
        }
    }

    pub(super) fn next_offer(&self) -> Option<(u64, u64)> {
        let mut idle: Vec<_> = self.providers.iter().filter(|(_, provider)| provider.is_idle()).collect();
        idle.sort_unstable_by_key(|(_, provider)| (Reverse(provider.free()), provider.asks.first().copied()));
        idle.into_iter().find_map(|(id, provider)| Some((*id, self.calls.ready(&provider.methods).next()?)))
    }

    fn hand(&mut self, provider: u64, call: u64) {
        if let Some(taker) = self.providers.get_mut(&provider) {
            taker.given.insert(call);
            self.calls.change(call, |call| call.stage = Stage::Given(provider));
        }
    }

    pub(super) fn hand_over(&mut self, provider: u64, ask: u64, calls: &[u64], cancelled: &[u64]) {
        calls.iter().for_each(|call| self.hand(provider, *call));
        if let Some(provider) = self.providers.get_mut(&provider) {
            provider.asks.remove(&ask);
            calls.iter().for_each(|call| _ = provider.offered.remove(call));
            cancelled.iter().for_each(|call| _ = provider.cancelled.remove(call));
        }
    }

    /// It did not hear of these.
    pub(super) fn take_from(&mut self, provider: u64, calls: &[u64], cancelled: &[u64]) {
        let Some(taker) = self.providers.get_mut(&provider) else { return };
        let untold = cancelled.iter().filter(|call| taker.given.contains(call));
        taker.cancelled.extend(untold);
        let calls: Vec<u64> = calls.iter().copied().filter(|call| taker.drop_call(*call)).collect();
        calls.into_iter().for_each(|call| self.put_back(call));
    }

    /// No provider has it any more, and none began it.
    fn put_back(&mut self, id: u64) {
        match self.calls.get(id).map(|call| (call.is_wanted, call.has_yielded())) {
            Some((true, false)) => self.calls.change(id, |call| call.stage = Stage::Waiting),
            // Somebody began it after all.
            Some((true, true)) => self.fail(id, Fault::ProviderGone {}),
            Some((false, _)) => _ = self.calls.remove(id),
            None => {}
        }
    }

    pub(super) fn finish(&mut self, provider: u64, id: u64, end: Option<End>) {
        let has_it = self.providers.get_mut(&provider).is_some_and(|provider| provider.drop_call(id));
        match end {
            _ if !has_it => {}
            None => self.put_back(id),
            Some(end) if self.calls.get(id).is_some_and(|call| call.is_wanted) => self.calls.change(id, |call| call.end(end)),
            Some(_) => _ = self.calls.remove(id),
        }
    }

    /// Nobody waits for it any more. Whoever has it is to be told, and has it until it says that it is over.
    pub(super) fn unwant(&mut self, id: u64, provider: u64) {
        self.calls.change(id, Call::unwant);
        if let Some(provider) = self.providers.get_mut(&provider) {
            provider.cancelled.insert(id);
        }
    }

    /// True: it was offered and never told of, and waits again.
    pub(super) fn take_offer_back(&mut self, id: u64) -> bool {
        let Some(Stage::Given(provider)) = self.calls.get(id).map(|call| call.stage.clone()) else { return false };
        let Some(provider) = self.providers.get_mut(&provider).filter(|provider| provider.offered.contains(&id)) else {
            return false;
        };
        provider.drop_call(id);
        self.calls.change(id, |call| call.stage = Stage::Waiting);
        true
    }
}
