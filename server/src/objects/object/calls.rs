//! The calls of an object, with what is to be known of all of them at once.

use super::{Description, End, Invocation, Moment, SessionId, Value};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Items of one stream that its caller has not taken: a provider is ahead of it without either standing still.
pub(super) const ITEMS_MAX: usize = 256;
/// Bytes of such items, unless the first is larger. All streams together stop at the bytes that the options give to arguments.
pub(super) const ITEM_BYTES_MAX: usize = 256 << 10;

/// Where a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No provider has it.
    Waiting,
    /// This one has it.
    Given(u64),
    /// Its caller is to be told, after the items that are left.
    Over(End),
}

/// What the method says, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    pub serial: bool,
    pub idempotent: bool,
    pub stream: bool,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Who calls.
    pub session: SessionId,
    pub invocation: Arc<Invocation>,
    pub deadline: Option<Moment>,
    /// `None`: the method is not known.
    pub flags: Option<Flags>,
    /// Providers that had it and went.
    pub lost: u32,
    /// Whether somebody waits for what becomes of it. If not, a provider has it all the same.
    pub is_wanted: bool,
    pub stage: Stage,
    /// Its caller knows that it is a stream.
    pub is_begun: bool,
    items: VecDeque<Value>,
    item_bytes: usize,
}

impl Call {
    pub fn new(session: SessionId, invocation: Arc<Invocation>, deadline: Option<Moment>) -> Call {
        Call {
            session,
            invocation,
            deadline,
            flags: None,
            lost: 0,
            is_wanted: true,
            stage: Stage::Waiting,
            is_begun: false,
            items: VecDeque::new(),
            item_bytes: 0,
        }
    }

    pub fn items(&self) -> &VecDeque<Value> {
        &self.items
    }

    pub fn is_stream(&self) -> bool {
        self.flags.is_some_and(|flags| flags.stream)
    }

    fn is_serial(&self) -> bool {
        self.flags.is_some_and(|flags| flags.serial)
    }

    /// Whether anything of a stream was seen.
    pub fn has_yielded(&self) -> bool {
        self.is_begun || !self.items.is_empty()
    }

    /// How many of these there is room for.
    pub fn room_for(&self, items: &[Value]) -> usize {
        let (mut count, mut bytes) = (self.items.len(), self.item_bytes);
        let fits = |item: &&Value| {
            bytes += item.data.len();
            count += 1;
            count == 1 || (count <= ITEMS_MAX && bytes <= ITEM_BYTES_MAX)
        };
        items.iter().take_while(fits).count()
    }

    pub fn add_items(&mut self, items: Vec<Value>) {
        self.item_bytes += items.iter().map(|item| item.data.len()).sum::<usize>();
        self.items.extend(items);
    }

    pub fn take_items(&mut self, count: usize) {
        let taken: usize = self.items.drain(..count.min(self.items.len())).map(|item| item.data.len()).sum();
        self.item_bytes -= taken;
    }

    /// In front of all others.
    pub fn put_items_back(&mut self, items: Vec<Value>) {
        self.item_bytes += items.iter().map(|item| item.data.len()).sum::<usize>();
        items.into_iter().rev().for_each(|item| self.items.push_front(item));
    }

    pub fn item_bytes_are_right(&self) -> bool {
        self.item_bytes == self.items.iter().map(|item| item.data.len()).sum::<usize>()
    }

    /// It ends, and nobody will need its arguments any more.
    pub fn end(&mut self, end: End) {
        self.stage = Stage::Over(end);
        self.invocation = Arc::new(self.invocation.without_arguments());
    }

    /// Nobody waits for it any more, while a provider has it.
    pub fn unwant(&mut self) {
        self.is_wanted = false;
        self.invocation = Arc::new(self.invocation.without_arguments());
        self.take_items(usize::MAX);
    }
}

/// What follows from the calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Index {
    /// That wait, and may run beside others.
    concurrent: BTreeSet<u64>,
    /// That wait, and run in turn.
    serial: BTreeSet<u64>,
    /// That wait, these among them.
    waiting: u64,
    /// The serial one that a provider has.
    running_serial: Option<u64>,
    /// That somebody waits for, by who does.
    of_sessions: BTreeMap<SessionId, u64>,
    /// Of arguments.
    bytes: usize,
    /// Of items.
    item_bytes: usize,
}

impl Index {
    fn add(&mut self, id: u64, call: &Call) {
        match call.stage {
            Stage::Waiting => {
                self.waiting += 1;
                match call.flags {
                    Some(flags) if flags.serial => _ = self.serial.insert(id),
                    Some(_) => _ = self.concurrent.insert(id),
                    None => {}
                }
            }
            Stage::Given(_) if call.is_serial() => self.running_serial = Some(id),
            Stage::Given(_) | Stage::Over(_) => {}
        }
        if call.is_wanted {
            *self.of_sessions.entry(call.session).or_default() += 1;
        }
        self.bytes += call.invocation.size();
        self.item_bytes += call.item_bytes;
    }

    fn remove(&mut self, id: u64, call: &Call) {
        if call.stage == Stage::Waiting {
            self.waiting -= 1;
            self.serial.remove(&id);
            self.concurrent.remove(&id);
        }
        if self.running_serial == Some(id) {
            self.running_serial = None;
        }
        if call.is_wanted
            && let Some(count) = self.of_sessions.get_mut(&call.session)
        {
            *count -= 1;
            if *count == 0 {
                self.of_sessions.remove(&call.session);
            }
        }
        self.bytes -= call.invocation.size();
        self.item_bytes -= call.item_bytes;
    }
}

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    all: BTreeMap<u64, Call>,
    index: Index,
    last: u64,
}

impl Calls {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The number of the last one.
    pub fn last(&self) -> u64 {
        self.last
    }

    pub fn get(&self, id: u64) -> Option<&Call> {
        self.all.get(&id)
    }

    pub fn all(&self) -> impl Iterator<Item = (u64, &Call)> {
        self.all.iter().map(|(id, call)| (*id, call))
    }

    pub fn numbers(&self) -> Vec<u64> {
        self.all.keys().copied().collect()
    }

    /// How many no provider has.
    pub fn waiting(&self) -> u64 {
        self.index.waiting
    }

    /// Of arguments.
    pub fn bytes(&self) -> usize {
        self.index.bytes
    }

    /// Of items that are not read.
    pub fn item_bytes(&self) -> usize {
        self.index.item_bytes
    }

    /// How many of this session somebody waits for.
    pub fn of(&self, session: SessionId) -> u64 {
        self.index.of_sessions.get(&session).copied().unwrap_or(0)
    }

    pub fn running_serial(&self) -> Option<u64> {
        self.index.running_serial
    }

    /// Those that may be begun now, of methods that are served, the oldest first.
    pub fn ready<'a>(&'a self, methods: &'a BTreeSet<Arc<str>>) -> impl Iterator<Item = u64> + 'a {
        let is_served = |id: &&u64| methods.contains(&self.all[id].invocation.method);
        let in_turn = self.index.serial.iter().filter(|_| self.index.running_serial.is_none()).find(is_served);
        let mut in_turn = in_turn.copied();
        let mut beside = self.index.concurrent.iter().filter(is_served).copied().peekable();
        std::iter::from_fn(move || match (beside.peek(), in_turn) {
            (Some(first), Some(serial)) if *first < serial => beside.next(),
            (_, Some(_)) => in_turn.take(),
            (_, None) => beside.next(),
        })
    }

    /// Whether any may be begun, whoever serves it.
    pub fn is_any_ready(&self) -> bool {
        !self.index.concurrent.is_empty() || (self.index.running_serial.is_none() && !self.index.serial.is_empty())
    }

    pub fn set_last(&mut self, last: u64) {
        self.last = last;
    }

    pub fn insert(&mut self, id: u64, call: Call) {
        self.index.add(id, &call);
        self.all.insert(id, call);
    }

    pub fn remove(&mut self, id: u64) -> Option<Call> {
        let call = self.all.remove(&id)?;
        self.index.remove(id, &call);
        Some(call)
    }

    /// Changes one, if it is there.
    pub fn change(&mut self, id: u64, change: impl FnOnce(&mut Call)) {
        if let Some(call) = self.all.get_mut(&id) {
            self.index.remove(id, call);
            change(call);
            self.index.add(id, call);
        }
    }

    /// What the methods say, of all calls.
    pub fn learn(&mut self, flags: impl Fn(&str) -> Option<Flags>) {
        for id in self.numbers() {
            self.change(id, |call| call.flags = flags(&call.invocation.method));
        }
    }

    /// Whether the index says what the calls do.
    pub fn index_is_right(&self) -> bool {
        let mut index = Index::default();
        self.all.iter().for_each(|(id, call)| index.add(*id, call));
        index == self.index && self.all.keys().next_back().is_none_or(|last| *last <= self.last)
    }

    /// Those that run in turn, and that a provider has.
    pub fn serial_running(&self) -> usize {
        self.all.values().filter(|call| call.is_serial() && matches!(call.stage, Stage::Given(_))).count()
    }
}

/// What is said of a method.
pub(super) fn flags(description: Option<&Description>, method: &str, all_serial: bool) -> Option<Flags> {
    let method = description?.methods.get(method)?;
    Some(Flags { serial: method.serial || all_serial, idempotent: method.idempotent, stream: method.stream })
}
