//! Tests of the order: what is promised, case by case, and a walk through all that may happen.

use super::*;

fn on(name: &str) -> Dependency {
    Dependency::Process { name: name.into(), condition: Condition::Ready }
}

fn order(processes: &[(&str, &[&[&str]])]) -> Order {
    let mut order = Order::default();
    for (name, groups) in processes {
        let groups = groups.iter().map(|group| group.iter().map(|name| on(name)).collect()).collect();
        order.add(name, groups).unwrap();
    }
    order
}

const READY: Status = Status { is_down: false, is_started: true, is_ready: true, is_healthy: true, is_completed: false };
const DOWN: Status = Status { is_down: true, is_started: false, is_ready: false, is_healthy: false, is_completed: false };

impl Order {
    fn wishes(&mut self, wish: Wish, names: &[&str]) -> Vec<String> {
        self.wish(wish, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        self.does()
    }

    fn is(&mut self, name: &str, status: Status) -> Vec<String> {
        self.see(name, status);
        self.does()
    }

    fn does(&mut self) -> Vec<String> {
        self.follow().into_iter().map(|(name, step)| format!("{name} {step:?}")).collect()
    }
}

#[test]
fn groups_come_one_after_the_other_and_those_of_one_side_by_side_and_stop_in_reverse() {
    let mut order = order(&[("a", &[&["b", "c"], &["d"]]), ("b", &[]), ("c", &[]), ("d", &[])]);
    assert_eq!(order.wishes(Wish::Start, &["a"]), ["b Up", "c Up"]);
    assert_eq!(order.waits()["a"], ["b to be ready", "c to be ready", "d to be ready"]);
    assert_eq!(order.is("b", READY), [""; 0]);
    assert_eq!(order.is("c", READY), ["d Up"]);
    assert_eq!(order.is("d", READY), ["a Up"]);
    order.is("a", READY);
    assert_eq!(order.wishes(Wish::Stop, &["b", "c", "d"]), ["a Down"], "who depends on them goes first");
    assert_eq!(order.is("a", DOWN), ["d Down"]);
    assert_eq!(order.is("d", DOWN), ["b Down", "c Down"]);
}

#[test]
fn the_newest_wish_wins_whatever_is_under_way() {
    let mut order = order(&[("web", &[&["db"]]), ("db", &[])]);
    assert_eq!(order.wishes(Wish::Start, &["web"]), ["db Up"]);
    assert_eq!(order.wishes(Wish::Stop, &["web"]), [""; 0], "it was not up yet");
    assert_eq!(order.is("db", READY), [""; 0]);
    order.wishes(Wish::Start, &["web"]);
    order.is("web", READY);
    assert_eq!(order.wishes(Wish::Stop, &["db"]), ["web Down"]);
    assert_eq!(order.wishes(Wish::Start, &["web"]), ["web Up"], "the other one was not told yet");
}

#[test]
fn what_a_process_said_before_it_was_told_something_does_not_count() {
    let mut order = order(&[("web", &[&["db"]]), ("db", &[])]);
    order.wishes(Wish::Start, &["web"]);
    order.is("db", READY);
    order.is("web", READY);
    order.wishes(Wish::Stop, &["db"]);
    assert_eq!(order.is("web", DOWN), ["db Down"]);
    assert_eq!(order.wishes(Wish::Start, &["web"]), ["db Up"], "and not both");
    assert_eq!(order.is("db", READY), ["web Up"]);
}

#[test]
fn who_is_only_next_in_somebodys_order_keeps_nobody_up() {
    let mut order = order(&[("app", &[&["cache"], &["db"]]), ("cache", &[]), ("db", &[])]);
    order.wishes(Wish::Start, &["app"]);
    order.is("cache", READY);
    order.is("db", READY);
    order.is("app", READY);
    assert_eq!(order.wishes(Wish::Stop, &["cache"]), ["app Down"]);
    assert_eq!(order.is("app", DOWN), ["cache Down"], "the other one stays");
    assert_eq!(order.wishes(Wish::Restart(None), &["db"]), ["db Restart(None)"]);
}

#[test]
fn a_kill_waits_for_nobody_and_takes_only_those_that_were_named() {
    let mut order = order(&[("web", &[&["db"]]), ("db", &[])]);
    order.wishes(Wish::Start, &["web"]);
    order.is("db", READY);
    order.is("web", READY);
    assert_eq!(order.wishes(Wish::Kill, &["db"]), ["db Kill", "web Down"]);
}

#[test]
fn objects_and_processes_that_nobody_has_added_are_waited_for() {
    let mut order = Order::default();
    order.add("web", vec![vec![Dependency::Object("jobs".into()), on("db")]]).unwrap();
    assert_eq!(order.wishes(Wish::Start, &["web"]), [""; 0]);
    assert_eq!(order.awaited_objects(), ["jobs".to_owned()].into());
    order.see_objects(["jobs".to_owned()].into());
    assert_eq!(order.does(), [""; 0]);
    assert_eq!(order.waits()["web"], ["db, which nobody has added"]);
    order.add("db", Vec::new()).unwrap();
    assert_eq!(order.does(), ["db Up"], "it is wanted because the other one is");
    assert_eq!(order.is("db", READY), ["web Up"]);
    assert!(order.awaited_objects().is_empty());
}

#[test]
fn a_circle_is_refused_and_nothing_has_changed() {
    let mut order = order(&[("a", &[&["b"]]), ("b", &[&["c"]]), ("c", &[])]);
    assert_eq!(
        order.add("c", vec![vec![on("a")]]).unwrap_err(),
        "its dependencies go in a circle: a waits for b waits for c waits for a"
    );
    assert!(order.add("d", vec![vec![on("d")]]).unwrap_err().ends_with("d waits for d"));
    assert!(order.add("e", vec![vec![on("c")], vec![on("b")]]).is_ok());
    assert!(order.add("f", vec![vec![on("b")], vec![on("c")]]).is_err(), "b before c, which b waits for");
    assert_eq!(order.wishes(Wish::Start, &["a", "d", "f"]), ["c Up"]);
    assert_eq!(order.longest_chain(|_| 10), 30, "a, b, c");
}

/// Processes that do what they are told, in any order, and fall over.
#[test]
fn whatever_happens_no_wish_is_lost_nobody_goes_up_too_early_or_down_too_early_and_all_settles() {
    for seed in 0..300 {
        Walk::new(seed).run();
    }
}

struct Walk {
    random: fastrand::Rng,
    order: Order,
    /// What each has been told, and how it is.
    worlds: BTreeMap<String, (bool, Status)>,
    dependencies: BTreeMap<String, Dependencies>,
    /// By the newest wishes.
    wanted: BTreeSet<String>,
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

impl Walk {
    fn new(seed: u64) -> Walk {
        let mut walk = Walk {
            random: fastrand::Rng::with_seed(seed),
            order: Order::default(),
            worlds: BTreeMap::new(),
            dependencies: BTreeMap::new(),
            wanted: BTreeSet::new(),
        };
        for name in NAMES {
            let groups = (0..walk.random.usize(0..3))
                .map(|_| (0..walk.random.usize(1..3)).map(|_| on(NAMES[walk.random.usize(0..NAMES.len())])).collect::<Vec<_>>());
            let groups: Dependencies = groups.collect();
            // One that would wait for itself depends on nobody.
            let groups = if walk.order.add(name, groups.clone()).is_ok() { groups } else { Vec::new() };
            walk.order.add(name, groups.clone()).unwrap();
            walk.dependencies.insert(name.into(), groups);
            walk.worlds.insert(name.into(), (false, DOWN));
        }
        walk
    }

    fn run(mut self) {
        for _ in 0..120 {
            let name = NAMES[self.random.usize(0..NAMES.len())];
            match self.random.u8(0..10) {
                0..2 => self.wish(Wish::Start, name),
                2..4 => self.wish(Wish::Stop, name),
                4 if self.random.u8(0..3) == 0 => self.wish(Wish::Kill, name),
                _ => self.live(name, true),
            }
            self.follow();
        }
        // A pass for each link of a chain is enough, and one for who has to be down first.
        for _ in 0..4 * NAMES.len() {
            NAMES.iter().for_each(|name| self.live(name, false));
            self.follow();
        }
        for name in NAMES {
            let is_up = self.worlds[name].1.is_ready;
            assert_eq!(is_up, self.wanted.contains(name), "{name} of {:?}", self.dependencies);
            assert_eq!(self.order.is_wanted(name), self.wanted.contains(name));
        }
    }

    fn wish(&mut self, wish: Wish, name: &str) {
        let names = |dependencies: &Dependencies| -> Vec<String> {
            dependencies.iter().flatten().filter_map(process).map(|(name, _)| name.to_owned()).collect()
        };
        let mut ahead = vec![name.to_owned()];
        while let Some(name) = ahead.pop() {
            if wish == Wish::Start {
                ahead.extend(names(&self.dependencies[&name]));
                self.wanted.insert(name);
            } else {
                let depends = |(_, of): &(&String, &Dependencies)| names(of).contains(&name);
                ahead.extend(self.dependencies.iter().filter(depends).map(|(other, _)| other.clone()));
                self.wanted.remove(&name);
            }
        }
        self.order.wish(wish, &[name.to_owned()]);
    }

    /// It comes nearer to what it was told, or fails.
    fn live(&mut self, name: &str, may_fail: bool) {
        let fails = may_fail && self.random.u8(0..8) == 0;
        let (is_up, status) = self.worlds.get_mut(name).unwrap();
        *status = match *is_up {
            true if fails => Status::default(),
            true => READY,
            false => DOWN,
        };
        self.order.see(name, *status);
    }

    fn follow(&mut self) {
        for (name, step) in self.order.follow() {
            match step {
                Step::Up => {
                    assert!(self.wanted.contains(&name));
                    for (other, _) in self.dependencies[&name].iter().flatten().filter_map(process) {
                        let (is_up, status) = self.worlds[other];
                        assert!(is_up && status.is_ready, "{name} goes up before {other}");
                    }
                    self.worlds.insert(name, (true, Status::default()));
                }
                Step::Down | Step::Kill => {
                    assert!(!self.wanted.contains(&name) || step == Step::Kill);
                    if step == Step::Down {
                        let depends = |of: &Dependencies| of.iter().flatten().filter_map(process).any(|(other, _)| other == name);
                        for (other, _) in self.dependencies.iter().filter(|(_, of)| depends(of)) {
                            let (is_up, status) = self.worlds[other];
                            assert!(!is_up && status.is_down, "{name} goes down before {other}");
                        }
                    }
                    self.worlds.insert(name, (false, Status::default()));
                }
                Step::Again | Step::Restart(_) => {}
            }
        }
    }
}
