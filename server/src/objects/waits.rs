//! Who waits for whom: what operators are shown, and the waits that are refused because they could never end.
//!
//! The parties are sessions. A session whose tasks wait independently of each other may so be shown in a circle that its other
//! tasks will open; that is why an object refuses such waits only if its options say so. What a session itself holds never keeps
//! it in a circle: another of its tasks may give it back, and the kinds know what one *owner* may not do twice.

#[cfg(test)]
mod tests;

use super::{
    core::{CallId, Standing},
    host::{Entered, Hosted, World},
    kind::{Blocking, Holding, SessionId},
};
use bursar_proto::{Fault, v1::registry as pb};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, OnceLock, Weak},
};

/// Who knows the sessions.
pub trait Callers: Send + Sync {
    /// Who a session says it is; `None`: there is no such session (any more).
    fn party(&self, session: SessionId) -> Option<pb::Party>;
    /// Whether a session has ended: what it held is given back, or is being given back.
    fn has_ended(&self, session: SessionId) -> bool;
}

/// The way to ask who a session is. Empty until the sessions' room is there.
#[derive(Default)]
pub struct Directory(OnceLock<Weak<dyn Callers>>);

impl Directory {
    /// From now on these are asked.
    pub fn ask(&self, callers: Weak<dyn Callers>) {
        // There is one table of sessions in a broker's life.
        let _ = self.0.set(callers);
    }

    /// Who a session is; only its number, if it is gone.
    pub fn party(&self, session: SessionId) -> pb::Party {
        let callers = self.0.get().and_then(Weak::upgrade);
        let known = callers.and_then(|callers| callers.party(session));
        known.unwrap_or(pb::Party { session: session.0, ..Default::default() })
    }

    /// Whether a session has ended.
    pub fn has_ended(&self, session: SessionId) -> bool {
        self.0.get().and_then(Weak::upgrade).is_some_and(|callers| callers.has_ended(session))
    }

    /// A fault with the names of those it speaks of.
    pub fn dressed(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Held { session, holder, held_ms, others } if holder.is_empty() => {
                Fault::Held { session, holder: description(&self.party(SessionId(session))), held_ms, others }
            }
            fault => fault,
        }
    }
}

/// A session as people read it.
fn description(party: &pb::Party) -> String {
    match party {
        pb::Party { label, pid: 0, .. } if label.is_empty() => "which has ended, or says nothing of itself".to_owned(),
        pb::Party { label, pid: 0, .. } => label.clone(),
        pb::Party { label, pid, host, .. } => format!("{label}, pid {pid} on {host}"),
    }
}

/// Objects on which somebody waits for what others hold, by epoch.
#[derive(Default)]
pub struct Contended(Mutex<BTreeMap<u64, Weak<dyn Hosted>>>);

impl Contended {
    /// Somebody waits there now, or nobody any more.
    pub fn note(&self, epoch: u64, host: Option<Weak<dyn Hosted>>) {
        let mut contended = self.0.lock();
        match host {
            Some(host) => contended.insert(epoch, host),
            None => contended.remove(&epoch),
        };
    }

    fn all(&self) -> Vec<Arc<dyn Hosted>> {
        self.0.lock().values().filter_map(Weak::upgrade).collect()
    }
}

/// An object with those who wait for it and those who hold it.
struct Knot {
    name: String,
    kind: &'static str,
    stands: Vec<Standing>,
    holdings: Vec<Holding>,
    /// Each once.
    holders: BTreeSet<SessionId>,
}

impl Knot {
    fn of(host: &dyn Hosted, entered: &dyn Entered) -> Knot {
        let (stands, holdings) = entered.stands();
        let holders = holdings.iter().map(|holding| holding.session).collect();
        Knot { name: host.name().to_string(), kind: host.kind(), stands, holdings, holders }
    }

    /// The sessions for which a wait here waits. None: it may end without any of them.
    fn blockers(&self, wait: &Standing) -> impl Iterator<Item = SessionId> {
        let holders = (wait.blocking != Blocking::Anybody).then_some(&self.holders);
        holders.into_iter().flatten().copied().filter(move |holder| *holder != wait.session)
    }

    /// Whether a wait can only end when one of these does, who are `stuck_holders` of the holders.
    fn is_stuck(&self, wait: &Standing, stuck: &HashSet<SessionId>, stuck_holders: usize) -> bool {
        let holds = self.holders.contains(&wait.session);
        let others = self.holders.len() - usize::from(holds);
        let stuck_others = stuck_holders - usize::from(holds && stuck.contains(&wait.session));
        match wait.blocking {
            Blocking::Anybody => false,
            Blocking::EachHolder => stuck_others > 0,
            Blocking::AnyHolder => others > 0 && stuck_others == others,
        }
    }
}

/// The waits that can only end when another of them does: what is left when whoever waits for nobody of the rest is taken away, again
/// and again. Every wait of an object is looked at when it begins, and when the last or all but the last of its holders is freed:
/// linear in waits and holdings.
struct Graph<'a> {
    knots: &'a [Knot],
    /// The stuck waits of each stuck session.
    waits: HashMap<SessionId, Vec<(&'a Knot, &'a Standing)>>,
}

impl<'a> Graph<'a> {
    fn new(knots: &'a [Knot]) -> Graph<'a> {
        let all = || knots.iter().enumerate().flat_map(|(at, knot)| knot.stands.iter().map(move |wait| (at, knot, wait)));
        let mut stuck: HashSet<SessionId> = all().map(|(.., wait)| wait.session).collect();
        let mut held: HashMap<SessionId, Vec<usize>> = HashMap::new();
        for (at, knot) in knots.iter().enumerate() {
            for holder in &knot.holders {
                held.entry(*holder).or_default().push(at);
            }
        }
        let count = |knot: &Knot, stuck: &HashSet<SessionId>| knot.holders.iter().filter(|holder| stuck.contains(holder)).count();
        let mut stuck_holders: Vec<usize> = knots.iter().map(|knot| count(knot, &stuck)).collect();
        // How many of its waits keep a session stuck.
        let mut keeps: HashMap<SessionId, usize> = stuck.iter().map(|session| (*session, 0)).collect();
        let mut is_stuck: Vec<Vec<bool>> = Vec::with_capacity(knots.len());
        for (at, knot) in knots.iter().enumerate() {
            let of_knot: Vec<bool> = knot.stands.iter().map(|wait| knot.is_stuck(wait, &stuck, stuck_holders[at])).collect();
            for (wait, _) in knot.stands.iter().zip(&of_knot).filter(|(_, is_stuck)| **is_stuck) {
                *keeps.entry(wait.session).or_default() += 1;
            }
            is_stuck.push(of_knot);
        }
        let mut free: Vec<SessionId> = keeps.iter().filter(|(_, keeps)| **keeps == 0).map(|(session, _)| *session).collect();
        while let Some(session) = free.pop() {
            stuck.remove(&session);
            for &at in held.get(&session).into_iter().flatten() {
                let knot = &knots[at];
                stuck_holders[at] -= 1;
                let freed_holders = knot.holders.len() - stuck_holders[at];
                // Only then can it make a difference to anybody.
                if stuck_holders[at] > 1 && freed_holders > 2 {
                    continue;
                }
                for (wait, was_stuck) in knot.stands.iter().zip(&mut is_stuck[at]).filter(|(_, was_stuck)| **was_stuck) {
                    if !knot.is_stuck(wait, &stuck, stuck_holders[at]) {
                        *was_stuck = false;
                        let keeps = keeps.entry(wait.session).or_default();
                        *keeps -= 1;
                        if *keeps == 0 {
                            free.push(wait.session);
                        }
                    }
                }
            }
        }
        let mut waits: HashMap<SessionId, Vec<(&Knot, &Standing)>> = HashMap::new();
        for ((_, knot, wait), _) in all().zip(is_stuck.iter().flatten()).filter(|(_, is_stuck)| **is_stuck) {
            waits.entry(wait.session).or_default().push((knot, wait));
        }
        Graph { knots, waits }
    }

    /// A circle of waits that begins with this one; `None`: it is in none.
    fn circle(&self, knot: &'a Knot, wait: &'a Standing) -> Option<Vec<(&'a Knot, &'a Standing)>> {
        let is_stuck = |(_, stuck): &(&Knot, &Standing)| std::ptr::eq(*stuck, wait);
        self.waits.get(&wait.session)?.iter().find(|stuck| is_stuck(stuck))?;
        // Breadth first, each session once: the shortest way from this wait back to its session. Each wait knows the one before it.
        let mut visited = HashSet::new();
        let mut ways = vec![(knot, wait, None)];
        let mut at = 0;
        while let Some(&(knot, last, _)) = ways.get(at) {
            for blocker in knot.blockers(last) {
                if blocker == wait.session {
                    let steps = std::iter::successors(Some(at), |at| ways[*at].2);
                    let mut way: Vec<_> = steps.map(|at| (ways[at].0, ways[at].1)).collect();
                    way.reverse();
                    return Some(way);
                }
                if visited.insert(blocker) {
                    let next = self.waits.get(&blocker).into_iter().flatten();
                    ways.extend(next.map(|(knot, wait)| (*knot, *wait, Some(at))));
                }
            }
            at += 1;
        }
        None
    }

    /// Circles, such that every session that is in one is in one of them; not more than are shown.
    fn circles(&self) -> Vec<Vec<(&'a Knot, &'a Standing)>> {
        let mut seen = HashSet::new();
        let mut circles = Vec::new();
        for knot in self.knots {
            for wait in &knot.stands {
                if circles.len() == CYCLES_MAX {
                    return circles;
                }
                if seen.contains(&wait.session) {
                    continue;
                }
                if let Some(circle) = self.circle(knot, wait) {
                    seen.extend(circle.iter().map(|(_, wait)| wait.session));
                    circles.push(circle);
                }
            }
        }
        circles
    }
}

/// Refuses a call that has begun to wait, if it closes a circle. All objects that somebody waits for stand still meanwhile, so that
/// of several calls that could close one circle only the first is refused; that costs a lock for each of them.
pub fn refuse_cycle(world: &World, epoch: u64, call: CallId) {
    let (hosts, now) = (world.contended.all(), world.clock.now());
    let mut entered: Vec<_> = hosts.iter().map(|host| host.enter(now)).collect();
    let here = hosts.iter().position(|host| host.epoch() == epoch);
    if let Some(here) = here
        && let Some(arrival) = entered[here].arrival(call)
        && may_close_a_circle(&entered, here)
    {
        let knots: Vec<_> = hosts.iter().zip(&entered).map(|(host, entered)| Knot::of(&**host, &**entered)).collect();
        let wait = knots[here].stands.iter().find(|wait| wait.arrival == arrival);
        let circle = wait.and_then(|wait| Graph::new(&knots).circle(&knots[here], wait));
        if let Some(circle) = circle {
            let cycle = sentence(&circle, &world.directory);
            tracing::warn!(session = call.session.0, object = knots[here].name, cycle, "refused a wait that would never end");
            entered[here].refuse(call, Fault::WouldDeadlock { cycle });
        }
    }
    leave(entered);
}

/// As a rule none of the holders waits for anything, and there is nothing to look for.
fn may_close_a_circle(entered: &[Box<dyn Entered + '_>], here: usize) -> bool {
    let holders: BTreeSet<SessionId> = entered[here].stands().1.iter().map(|holding| holding.session).collect();
    holders.iter().any(|holder| entered.iter().any(|entered| entered.has_waiting(*holder)))
}

/// Lets go of all, and only then delivers.
pub(super) fn leave(entered: Vec<Box<dyn Entered + '_>>) {
    let deliveries: Vec<_> = entered.into_iter().map(Entered::leave).collect();
    deliveries.into_iter().for_each(|deliver| deliver());
}

fn sentence(circle: &[(&Knot, &Standing)], directory: &Directory) -> String {
    let mut text = String::new();
    for (at, (knot, wait)) in circle.iter().enumerate() {
        let party = directory.party(wait.session);
        let who = format!("session {} ({})", party.session, description(&party));
        let joint = if at == 0 { "" } else { ", held by " };
        let verb = if at == 0 { " waits " } else { ", which waits " };
        text += &format!("{joint}{who}{verb}{} {:?}", wait.what, knot.name);
    }
    let first = circle.first().map_or(0, |(_, wait)| wait.session.0);
    text + &format!(", held by session {first}")
}

/// Waits, and holdings, in one reply.
const SHOWN_MAX: usize = 10_000;
/// Circles in one reply: whoever has more than one to resolve resolves one and looks again.
const CYCLES_MAX: usize = 100;

/// What there is to see of these objects. With `all_holdings` also of those that nobody waits for.
pub fn show(hosts: &[Arc<dyn Hosted>], all_holdings: bool, world: &World) -> pb::WaitsReply {
    let now = world.clock.now();
    let knot = |host: &Arc<dyn Hosted>| {
        let entered = host.enter(now);
        let knot = Knot::of(&**host, &*entered);
        leave(vec![entered]);
        knot
    };
    let knots: Vec<Knot> = hosts.iter().map(knot).collect();
    let of_all = |knot: &&Knot| all_holdings || !knot.stands.is_empty();
    let mut waits: Vec<_> = knots.iter().flat_map(|knot| knot.stands.iter().map(move |wait| (knot, wait))).collect();
    let mut holdings: Vec<_> =
        knots.iter().filter(of_all).flat_map(|knot| knot.holdings.iter().map(move |held| (knot, held))).collect();
    let more = waits.len() > SHOWN_MAX || holdings.len() > SHOWN_MAX;
    // Within one millisecond by name; those of one object stay in their order.
    waits.sort_by(|(left, one), (right, other)| (one.since, &left.name).cmp(&(other.since, &right.name)));
    let since = |held: &Holding| held.since.unwrap_or_default();
    holdings.sort_by(|(left, one), (right, other)| (since(one), &left.name).cmp(&(since(other), &right.name)));
    let directory = &world.directory;
    let mut reply = pb::WaitsReply {
        waits: waits.into_iter().take(SHOWN_MAX).map(|(knot, wait)| waiting(knot, wait, directory)).collect(),
        holdings: holdings.into_iter().take(SHOWN_MAX).map(|(knot, held)| holding(knot, held, directory)).collect(),
        more,
        ..Default::default()
    };
    let contended = world.contended.all();
    let entered: Vec<_> = contended.iter().map(|host| host.enter(now)).collect();
    let knots: Vec<_> = contended.iter().zip(&entered).map(|(host, entered)| Knot::of(&**host, &**entered)).collect();
    leave(entered);
    let shown = |knot: &Knot| hosts.len() != 1 || hosts.iter().any(|host| host.name().as_str() == knot.name);
    for circle in Graph::new(&knots).circles().into_iter().filter(|circle| circle.iter().any(|(knot, _)| shown(knot))) {
        let waits = circle.into_iter().map(|(knot, wait)| waiting(knot, wait, &world.directory)).collect();
        reply.cycles.push(pb::Cycle { waits });
    }
    reply
}

fn waiting(knot: &Knot, wait: &Standing, directory: &Directory) -> pb::Waiting {
    pb::Waiting {
        who: Some(directory.party(wait.session)),
        object: knot.name.clone(),
        kind: knot.kind.to_owned(),
        what: wait.what.to_owned(),
        since_ms: wait.since.0,
        deadline_ms: wait.deadline.map_or(0, |deadline| deadline.0),
    }
}

fn holding(knot: &Knot, holding: &Holding, directory: &Directory) -> pb::Holding {
    pb::Holding {
        who: Some(directory.party(holding.session)),
        object: knot.name.clone(),
        kind: knot.kind.to_owned(),
        what: holding.what.clone(),
        since_ms: holding.since.map_or(0, |since| since.0),
        token: holding.token,
    }
}
