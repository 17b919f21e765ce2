//! Which process may be up now, and which has to go down first. Pure: wishes and statuses come in, steps go out.
//!
//! ```text
//!   wish ──► wanted ── what it depends on is there ──► told: up ─┐
//!               │                                                │ statuses
//!   wish ──► not wanted ── nothing that depends on it is left ──► told: down
//! ```
//!
//! - Who is wanted has all it depends on wanted, too; who is not has nothing wanted that depends on it. So the newest wish wins for
//!   everybody whom it concerns.
//! - The groups of dependencies come one after the other: with `[[b, c], d]`, `b` and `c` go up side by side, then `d`, then the process
//!   itself; and down in exactly the reverse. That makes `d` depend on `b` and `c` as long as somebody wants it so.
//! - A dependency is looked at when a process goes up, and not any more while it is up: one that crashes comes back by itself, and takes
//!   nobody along.
//! - Who has to be killed waits for nobody.

use bursar::processes::{Condition, Dependency};
use std::collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry};

/// Of one process: one group after the other, those of a group side by side.
pub type Dependencies = Vec<Vec<Dependency>>;

/// How a process is, as far as others care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Nothing of it runs, its hooks included, and it has done what it was told last.
    pub is_down: bool,
    pub is_started: bool,
    pub is_ready: bool,
    pub is_healthy: bool,
    pub is_completed: bool,
}

/// What somebody wants of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Start,
    Stop,
    Kill,
    /// All workers, or one.
    Restart(Option<u32>),
}

/// What a process is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Up,
    /// It is up, and somebody wishes it once more: who was given up tries again.
    Again,
    Down,
    /// Down, without a word.
    Kill,
    Restart(Option<u32>),
}

/// All processes, by name.
#[derive(Debug, Default)]
pub struct Order {
    places: BTreeMap<String, Place>,
    /// Those that are there, of those that somebody waits for.
    objects: BTreeSet<String>,
    steps: Vec<(String, Step)>,
}

#[derive(Debug, Default)]
struct Place {
    dependencies: Dependencies,
    is_wanted: bool,
    /// What it was told last.
    is_up: bool,
    status: Status,
}

/// What has to be there before each goes up.
type Edges<'a> = BTreeMap<&'a str, Vec<&'a Dependency>>;

impl Order {
    /// A new process, or one that depends on something else from now on. Error: it would wait for itself; nothing has changed.
    pub fn add(&mut self, name: &str, dependencies: Dependencies) -> Result<(), String> {
        let before = self.places.get(name).map(|place| place.dependencies.clone());
        self.places.entry(name.to_owned()).or_default().dependencies = dependencies;
        if let Some(circle) = self.circle() {
            match before {
                Some(before) => self.place(name).dependencies = before,
                None => _ = self.places.remove(name),
            }
            return Err(format!("its dependencies go in a circle: {}", circle.join(" waits for ")));
        }
        let is_new = before.is_none();
        if is_new {
            self.place(name).status.is_down = true;
        }
        if self.is_wanted(name) || self.dependents(name).iter().any(|other| self.is_wanted(other)) {
            self.want(name);
        }
        Ok(())
    }

    /// It is not there any more.
    pub fn remove(&mut self, name: &str) {
        self.places.remove(name);
    }

    /// Names that are not known are passed over.
    pub fn wish(&mut self, wish: Wish, names: &[String]) {
        for name in names.iter().filter(|name| self.places.contains_key(*name)).cloned().collect::<Vec<_>>() {
            match wish {
                Wish::Start => self.wish_up(&name, Step::Again),
                Wish::Restart(worker) => self.wish_up(&name, Step::Restart(worker)),
                Wish::Stop => self.unwant(&name),
                Wish::Kill => {
                    self.unwant(&name);
                    let place = self.place(&name);
                    (place.is_up, place.status) = (false, Status::default());
                    self.steps.push((name, Step::Kill));
                }
            }
        }
    }

    /// How a process is now.
    pub fn see(&mut self, name: &str, status: Status) {
        if let Some(place) = self.places.get_mut(name) {
            place.status = status;
        }
    }

    /// Which of the awaited objects there are.
    pub fn see_objects(&mut self, objects: BTreeSet<String>) {
        self.objects = objects;
    }

    /// What is to be told to whom now, in this order. Until it has happened, a process that was told something has to be seen with an empty
    /// status.
    pub fn follow(&mut self) -> Vec<(String, Step)> {
        let mut steps = std::mem::take(&mut self.steps);
        let (needs, edges) = (self.edges(|place| place.is_wanted), self.edges(|_| true));
        let step = |name: &String, place: &Place| match (place.is_wanted, place.is_up) {
            (true, false) if self.missing(&needs, name).is_empty() => Some(Step::Up),
            (false, true) if self.may_go_down(&edges, name) => Some(Step::Down),
            _ => None,
        };
        let next: Vec<_> = self.places.iter().filter_map(|(name, place)| Some((name.clone(), step(name, place)?))).collect();
        for (name, step) in &next {
            let place = self.place(name);
            // It says nothing about what it was told now.
            (place.is_up, place.status) = (*step == Step::Up, Status::default());
        }
        steps.extend(next);
        steps
    }

    /// Whether it is to be up, as the newest wish has it.
    pub fn is_wanted(&self, name: &str) -> bool {
        self.places.get(name).is_some_and(|place| place.is_wanted)
    }

    /// What each waits for before it goes up, in words; who waits for nothing is not there.
    pub fn waits(&self) -> BTreeMap<String, Vec<String>> {
        let needs = self.edges(|place| place.is_wanted);
        let waiting = self.places.iter().filter(|(_, place)| place.is_wanted && !place.is_up);
        let words = |name| self.missing(&needs, name).into_iter().map(|dependency| self.in_words(dependency)).collect();
        waiting.map(|(name, _)| (name.clone(), words(name))).collect()
    }

    /// The objects that somebody waits for.
    pub fn awaited_objects(&self) -> BTreeSet<String> {
        let needs = self.edges(|place| place.is_wanted);
        let waiting = self.places.iter().filter(|(_, place)| place.is_wanted && !place.is_up);
        let needed = waiting.flat_map(|(name, _)| needs.get(name.as_str()).into_iter().flatten());
        needed
            .filter_map(|dependency| if let Dependency::Object(name) = dependency { Some(name.clone()) } else { None })
            .collect()
    }

    /// The largest sum along a chain of dependencies.
    pub fn longest_chain(&self, of_one: impl Fn(&str) -> u64) -> u64 {
        let (edges, mut sums) = (self.edges(|_| true), BTreeMap::<&str, u64>::new());
        // Without circles, a chain has no more links than there are processes.
        for _ in 0..self.places.len() {
            let before = sums.clone();
            for name in self.places.keys() {
                let below = edges.get(name.as_str()).into_iter().flatten().filter_map(|dependency| process(dependency));
                let longest = below.filter_map(|(name, _)| sums.get(name)).max().copied().unwrap_or(0);
                sums.insert(name, longest.saturating_add(of_one(name)));
            }
            if sums == before {
                break;
            }
        }
        sums.into_values().max().unwrap_or(0)
    }

    fn place(&mut self, name: &str) -> &mut Place {
        self.places.get_mut(name).expect("it was found before")
    }

    fn wish_up(&mut self, name: &str, step: Step) {
        self.want(name);
        if self.place(name).is_up {
            self.steps.push((name.to_owned(), step));
        }
    }

    /// It, and all that it depends on.
    fn want(&mut self, name: &str) {
        for name in self.closure(name, |order, name| order.names(name).map(str::to_owned).collect()) {
            self.place(&name).is_wanted = true;
        }
    }

    /// It, and all that depend on it.
    fn unwant(&mut self, name: &str) {
        for name in self.closure(name, Order::dependents) {
            self.place(&name).is_wanted = false;
        }
    }

    /// Everything known that can be reached, and where it begins.
    fn closure(&self, name: &str, next: impl Fn(&Order, &str) -> Vec<String>) -> BTreeSet<String> {
        let (mut found, mut ahead) = (BTreeSet::new(), vec![name.to_owned()]);
        while let Some(name) = ahead.pop() {
            if self.places.contains_key(&name) && !found.contains(&name) {
                ahead.extend(next(self, &name));
                found.insert(name);
            }
        }
        found
    }

    /// The processes that somebody says to depend on.
    fn names(&self, name: &str) -> impl Iterator<Item = &str> {
        let dependencies = self.places.get(name).into_iter().flat_map(|place| place.dependencies.iter().flatten());
        dependencies.filter_map(process).map(|(name, _)| name)
    }

    fn dependents(&self, name: &str) -> Vec<String> {
        self.places.keys().filter(|other| self.names(other).any(|known| known == name)).cloned().collect()
    }

    /// What has to be there before each goes up: its own dependencies, and those of earlier groups than the one in which somebody has it
    /// for whom that counts.
    fn edges(&self, counts: impl Fn(&Place) -> bool) -> Edges<'_> {
        let mut edges = Edges::new();
        for (name, place) in &self.places {
            edges.entry(name).or_default().extend(place.dependencies.iter().flatten());
            for (at, group) in place.dependencies.iter().enumerate().skip(1).filter(|_| counts(place)) {
                for (name, _) in group.iter().filter_map(process) {
                    edges.entry(name).or_default().extend(place.dependencies[..at].iter().flatten());
                }
            }
        }
        edges
    }

    fn missing<'a>(&self, needs: &Edges<'a>, name: &str) -> Vec<&'a Dependency> {
        let mut missing = Vec::new();
        for dependency in needs.get(name).into_iter().flatten() {
            if !self.is_there(dependency) && !missing.contains(dependency) {
                missing.push(*dependency);
            }
        }
        missing
    }

    fn is_there(&self, dependency: &Dependency) -> bool {
        match dependency {
            Dependency::Object(name) => self.objects.contains(name),
            Dependency::Process { name, condition } => self.places.get(name).is_some_and(|place| {
                let Status { is_down: _, is_started, is_ready, is_healthy, is_completed } = place.status;
                let is_so = match condition {
                    Condition::Started => is_started,
                    Condition::Ready => is_ready,
                    Condition::Healthy => is_healthy,
                    Condition::Completed => is_completed,
                };
                place.is_up && is_so
            }),
        }
    }

    /// Nothing of those that go down, too, is left that depends on it or stands behind it in somebody's order. Who stays up and stands there
    /// only for the order's sake keeps nobody.
    fn may_go_down(&self, edges: &Edges<'_>, name: &str) -> bool {
        let depends = |other: &str| {
            let below = edges.get(other).into_iter().flatten().filter_map(|dependency| process(dependency));
            below.into_iter().any(|(below, _)| below == name)
        };
        let is_left = |place: &Place| !place.is_wanted && (place.is_up || !place.status.is_down);
        !self.places.iter().any(|(other, place)| is_left(place) && other != name && depends(other))
    }

    fn in_words(&self, dependency: &Dependency) -> String {
        match dependency {
            Dependency::Object(name) => format!("the object {name}"),
            Dependency::Process { name, .. } if !self.places.contains_key(name) => format!("{name}, which nobody has added"),
            Dependency::Process { name, condition } => format!("{name} to be {}", condition_in_words(*condition)),
        }
    }

    /// Some processes that wait for each other, the first one again at the end.
    fn circle(&self) -> Option<Vec<String>> {
        let edges = self.edges(|_| true);
        edges.keys().find_map(|name| circle_from(&edges, name))
    }
}

fn circle_from(edges: &Edges<'_>, start: &str) -> Option<Vec<String>> {
    // Who was reached, and from where.
    let (mut reached, mut ahead) = (BTreeMap::<&str, &str>::new(), VecDeque::from([start]));
    while let Some(name) = ahead.pop_front() {
        for (next, _) in edges.get(name).into_iter().flatten().filter_map(|dependency| process(dependency)) {
            if next == start {
                let mut circle = vec![start, name];
                while let Some(before) = reached.get(circle[circle.len() - 1]) {
                    circle.push(before);
                }
                circle.reverse();
                circle.dedup();
                return Some(if name == start { vec![start.into(), start.into()] } else { to_strings(&circle) });
            }
            if let Entry::Vacant(vacant) = reached.entry(next) {
                vacant.insert(name);
                ahead.push_back(next);
            }
        }
    }
    None
}

fn to_strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn process(dependency: &Dependency) -> Option<(&str, Condition)> {
    match dependency {
        Dependency::Process { name, condition } => Some((name, *condition)),
        Dependency::Object(_) => None,
    }
}

fn condition_in_words(condition: Condition) -> &'static str {
    match condition {
        Condition::Started => "started",
        Condition::Ready => "ready",
        Condition::Healthy => "healthy",
        Condition::Completed => "completed",
    }
}

#[cfg(test)]
mod tests;
