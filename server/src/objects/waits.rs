//! Who waits for whom: what operators are shown, and the waits that are refused because they could never end.
//!
//! The parties are sessions. A session whose tasks wait independently of each other may so be shown in a circle that its other
//! tasks will open; that is why an object refuses such waits only if its options say so. What a session itself holds never keeps
//! it in a circle: another of its tasks may give it back, and the kinds know what one *owner* may not do twice.

use super::{
    core::{CallId, Standing},
    host::{Entered, Hosted, World},
    kind::{Blocking, Holding, SessionId},
};
use bursar_proto::{Fault, v1::registry as pb};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, OnceLock, Weak},
};

/// Who knows the sessions.
pub trait Callers: Send + Sync {
    /// Who a session says it is; `None`: there is no such session (any more).
    fn party(&self, session: SessionId) -> Option<pb::Party>;
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
}

impl Knot {
    fn of(host: &dyn Hosted, entered: &dyn Entered) -> Knot {
        let (stands, holdings) = entered.stands();
        Knot { name: host.name().to_string(), kind: host.kind(), stands, holdings }
    }

    /// The sessions for which a wait here waits. Empty: it may end without any of them.
    fn blockers(&self, wait: &Standing) -> Vec<SessionId> {
        let holders = self.holdings.iter().map(|holding| holding.session);
        match wait.blocking {
            Blocking::Anybody => Vec::new(),
            Blocking::EachHolder => holders.filter(|holder| *holder != wait.session).collect(),
            Blocking::AnyHolder if self.holdings.iter().any(|holding| holding.session == wait.session) => Vec::new(),
            Blocking::AnyHolder => holders.collect(),
        }
    }

    fn is_stuck(&self, wait: &Standing, stuck: &BTreeSet<SessionId>) -> bool {
        let blockers = self.blockers(wait);
        match wait.blocking {
            Blocking::Anybody => false,
            Blocking::EachHolder => blockers.iter().any(|blocker| stuck.contains(blocker)),
            Blocking::AnyHolder => !blockers.is_empty() && blockers.iter().all(|blocker| stuck.contains(blocker)),
        }
    }
}

/// The waits that can only end when another of them does.
struct Graph<'a> {
    knots: &'a [Knot],
    stuck: BTreeSet<SessionId>,
    /// The stuck waits of each stuck session.
    waits: HashMap<SessionId, Vec<(&'a Knot, &'a Standing)>>,
}

impl<'a> Graph<'a> {
    fn new(knots: &'a [Knot]) -> Graph<'a> {
        let mut waits: HashMap<SessionId, Vec<(&Knot, &Standing)>> = HashMap::new();
        for knot in knots {
            for wait in &knot.stands {
                waits.entry(wait.session).or_default().push((knot, wait));
            }
        }
        // The largest set in which everybody waits for others of the set.
        let mut stuck: BTreeSet<SessionId> = waits.keys().copied().collect();
        loop {
            let free: Vec<_> = stuck
                .iter()
                .filter(|session| !waits[session].iter().any(|(knot, wait)| knot.is_stuck(wait, &stuck)))
                .copied()
                .collect();
            if free.is_empty() {
                break;
            }
            stuck.retain(|session| !free.contains(session));
        }
        waits.retain(|session, _| stuck.contains(session));
        waits.values_mut().for_each(|waits| waits.retain(|(knot, wait)| knot.is_stuck(wait, &stuck)));
        Graph { knots, stuck, waits }
    }

    /// A circle of waits that begins with this one; `None`: it is in none.
    fn circle(&self, knot: &'a Knot, wait: &'a Standing) -> Option<Vec<(&'a Knot, &'a Standing)>> {
        if !knot.is_stuck(wait, &self.stuck) {
            return None;
        }
        // Depth first, each session once: a way from this wait back to its session.
        let mut visited = BTreeSet::new();
        let mut ways = vec![vec![(knot, wait)]];
        while let Some(way) = ways.pop() {
            let (knot, last) = way.last().expect("a way begins with a wait");
            for blocker in knot.blockers(last) {
                if blocker == wait.session {
                    return Some(way);
                }
                if visited.insert(blocker) {
                    let next = self.waits.get(&blocker).into_iter().flatten();
                    ways.extend(next.map(|next| way.iter().copied().chain([*next]).collect::<Vec<_>>()));
                }
            }
        }
        None
    }

    /// Circles, such that every session that is in one is in one of them.
    fn circles(&self) -> Vec<Vec<(&'a Knot, &'a Standing)>> {
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for knot in self.knots {
            for wait in &knot.stands {
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

/// Waits and holdings in one reply.
const SHOWN_MAX: usize = 10_000;

/// What there is to see of these objects. With `all_holdings` also of those that nobody waits for.
pub fn show(hosts: &[Arc<dyn Hosted>], all_holdings: bool, world: &World) -> pb::WaitsReply {
    let now = world.clock.now();
    let mut reply = pb::WaitsReply::default();
    for host in hosts {
        let entered = host.enter(now);
        let knot = Knot::of(&**host, &*entered);
        leave(vec![entered]);
        reply.waits.extend(knot.stands.iter().map(|wait| waiting(&knot, wait, &world.directory)));
        if all_holdings || !knot.stands.is_empty() {
            reply.holdings.extend(knot.holdings.iter().map(|held| holding(&knot, held, &world.directory)));
        }
    }
    // Within one millisecond by name; those of one object stay in their order.
    reply.waits.sort_by(|left, right| (left.since_ms, &left.object).cmp(&(right.since_ms, &right.object)));
    reply.holdings.sort_by(|left, right| (left.since_ms, &left.object).cmp(&(right.since_ms, &right.object)));
    reply.more = reply.waits.len() > SHOWN_MAX || reply.holdings.len() > SHOWN_MAX;
    reply.waits.truncate(SHOWN_MAX);
    reply.holdings.truncate(SHOWN_MAX);
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
