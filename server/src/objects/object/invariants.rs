//! P1: every call is in one place, and has one provider at most, who knows no other. P2: no call waits that a provider asks for and
//! could begin. P3: nobody has more than its capacity, and of the serial calls one runs. P4: every sum is right. Linear: for tests
//! and simulation.

use super::{Object, Provider, Stage};

impl Object {
    /// What is contradicted by what.
    pub(super) fn broken(&self) -> Option<String> {
        let providers = self.providers.iter();
        let of_providers =
            providers.filter_map(|(id, provider)| Some(format!("provider {id}: {}", self.broken_provider(*id, provider)?)));
        of_providers.into_iter().next().or_else(|| self.broken_calls()).or_else(|| self.broken_sums())
    }

    fn broken_provider(&self, id: u64, provider: &Provider) -> Option<String> {
        let has = |call: &&u64| self.calls.get(**call).is_some_and(|call| call.stage == Stage::Given(id));
        if let Some(call) = provider.given.iter().find(|call| !has(call)) {
            return Some(format!("P1: it has call {call}, which does not know it"));
        }
        let is_wanted = |call: &u64| self.calls.get(*call).is_some_and(|call| call.is_wanted);
        let offers = provider.offered.iter().all(|call| provider.given.contains(call) && is_wanted(call));
        let cancels = provider.cancelled.iter().all(|call| provider.given.contains(call) && !is_wanted(call));
        if !offers || !cancels {
            return Some(format!(
                "P1: offered {:?}, cancelled {:?}, given {:?}",
                provider.offered, provider.cancelled, provider.given
            ));
        }
        if provider.given.len() as u64 > provider.capacity {
            return Some(format!("P3: it has {} calls at once, and a capacity of {}", provider.given.len(), provider.capacity));
        }
        // Offers are taken in the step in which they are made.
        (!provider.offered.is_empty()).then(|| format!("P2: it was not told of {:?}", provider.offered))
    }

    fn broken_calls(&self) -> Option<String> {
        for (id, call) in self.calls.all() {
            let is_right = match call.stage {
                Stage::Given(provider) => self.providers.get(&provider).is_some_and(|provider| provider.given.contains(&id)),
                Stage::Waiting => call.is_wanted && !call.has_yielded(),
                Stage::Over(_) => call.is_wanted,
            };
            if !is_right {
                return Some(format!("P1: call {id} is {:?}, wanted: {}", call.stage, call.is_wanted));
            }
            let is_unserved = || !call.invocation.waits_for_provider && !self.is_served(&call.invocation.method);
            if call.stage == Stage::Waiting && is_unserved() {
                return Some(format!("P2: call {id} waits for nobody"));
            }
        }
        self.next_offer().map(|(provider, call)| format!("P2: call {call} waits, and provider {provider} asks for it"))
    }

    fn broken_sums(&self) -> Option<String> {
        let wrong = self.calls.all().find(|(_, call)| !call.item_bytes_are_right());
        if let Some((id, _)) = wrong {
            return Some(format!("P4: the bytes of the items of call {id} are counted wrong"));
        }
        if self.calls.serial_running() > 1 {
            return Some(format!("P3: {} serial calls run at once", self.calls.serial_running()));
        }
        let last = self.providers.keys().next_back().copied().unwrap_or(0);
        let asks = self.providers.values().filter_map(|provider| provider.asks.last()).max().copied().unwrap_or(0);
        let is_right = self.calls.index_is_right() && last <= self.last_provider && asks <= self.last_ask;
        (!is_right).then(|| format!("P4: provider {last} or ask {asks} is younger than the last, or the calls are counted wrong"))
    }
}
