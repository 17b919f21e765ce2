//! The state in parts, as a history has it, and back. What follows from the parts is not kept.

use super::{Call, Counters, Description, End, Invocation, Moment, Object, Provider, SessionId, Stage, Value};
use std::sync::Arc;

/// Bytes of items in one part, unless a single one is larger: engines bound their records.
const PART_BYTES_MAX: usize = 1 << 20;

/// A part of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Restored {
    Object {
        last_provider: u64,
        last_ask: u64,
        last_call: u64,
        counters: Counters,
        description: Option<Arc<Description>>,
    },
    Provider {
        provider: u64,
        session: SessionId,
        capacity: u64,
        methods: Vec<Arc<str>>,
        asks: Vec<u64>,
        offered: Vec<u64>,
        cancelled: Vec<u64>,
    },
    Call(RestoredCall),
    Items {
        call: u64,
        items: Vec<Value>,
    },
}

/// A call without its items.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RestoredCall {
    pub call: u64,
    pub session: SessionId,
    pub invocation: Arc<Invocation>,
    pub deadline: Option<Moment>,
    /// `None`: none has it.
    pub provider: Option<u64>,
    pub lost: u32,
    pub is_wanted: bool,
    pub is_begun: bool,
    /// `None`: it is not over.
    pub end: Option<End>,
}

impl Object {
    pub(super) fn parts(&self) -> Vec<Restored> {
        if self.last_provider == 0 && self.calls.last() == 0 {
            return Vec::new();
        }
        let mut parts = vec![Restored::Object {
            last_provider: self.last_provider,
            last_ask: self.last_ask,
            last_call: self.calls.last(),
            counters: self.counters,
            description: self.description.clone(),
        }];
        parts.extend(self.providers.iter().map(|(id, provider)| provider_part(*id, provider)));
        for (id, call) in self.calls.all() {
            parts.push(Restored::Call(call_part(id, call)));
            parts.extend(item_parts(call).into_iter().map(|items| Restored::Items { call: id, items }));
        }
        parts
    }

    pub(super) fn restore(&mut self, part: Restored) {
        match part {
            Restored::Object { last_provider, last_ask, last_call, counters, description } => {
                (self.last_provider, self.last_ask, self.counters, self.description) =
                    (last_provider, last_ask, counters, description);
                self.calls.set_last(last_call);
            }
            Restored::Provider { provider: id, session, capacity, methods, asks, offered, cancelled } => {
                let mut provider = Provider::new(session, capacity, methods.into_iter().collect());
                provider.asks.extend(asks);
                provider.offered.extend(offered);
                provider.cancelled.extend(cancelled);
                self.providers.insert(id, provider);
            }
            Restored::Call(call) => self.restore_call(call),
            Restored::Items { call, items } => self.calls.change(call, |call| call.add_items(items)),
        }
    }

    fn restore_call(&mut self, restored: RestoredCall) {
        let RestoredCall { call: id, session, invocation, deadline, provider, lost, is_wanted, is_begun, end } = restored;
        let mut call = Call::new(session, invocation, deadline);
        call.flags = super::calls::flags(self.description.as_deref(), &call.invocation.method, self.options.serial);
        (call.lost, call.is_wanted, call.is_begun) = (lost, is_wanted, is_begun);
        if let Some(end) = end {
            call.stage = Stage::Over(end);
        } else if let Some(provider) = provider {
            call.stage = Stage::Given(provider);
            if let Some(provider) = self.providers.get_mut(&provider) {
                provider.given.insert(id);
            }
        }
        self.calls.insert(id, call);
    }
}

fn provider_part(id: u64, Provider { session, capacity, methods, asks, given: _, offered, cancelled }: &Provider) -> Restored {
    Restored::Provider {
        provider: id,
        session: *session,
        capacity: *capacity,
        methods: methods.iter().cloned().collect(),
        asks: asks.iter().copied().collect(),
        offered: offered.iter().copied().collect(),
        cancelled: cancelled.iter().copied().collect(),
    }
}

fn call_part(id: u64, call: &Call) -> RestoredCall {
    let (provider, end) = match &call.stage {
        Stage::Waiting => (None, None),
        Stage::Given(provider) => (Some(*provider), None),
        Stage::Over(end) => (None, Some(end.clone())),
    };
    RestoredCall {
        call: id,
        session: call.session,
        invocation: call.invocation.clone(),
        deadline: call.deadline,
        provider,
        lost: call.lost,
        is_wanted: call.is_wanted,
        is_begun: call.is_begun,
        end,
    }
}

/// In order, in parts of bounded size.
fn item_parts(call: &Call) -> Vec<Vec<Value>> {
    let (mut parts, mut bytes): (Vec<Vec<Value>>, usize) = (Vec::new(), 0);
    for item in call.items() {
        bytes += item.data.len();
        match parts.last_mut() {
            Some(part) if bytes <= PART_BYTES_MAX => part.push(item.clone()),
            _ => {
                bytes = item.data.len();
                parts.push(vec![item.clone()]);
            }
        }
    }
    parts
}
