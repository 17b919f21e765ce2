//! The order of a stack, decided before anything starts: who waits for whom. It starts and stops nothing.
//!
//! Stopping follows the same lines backwards, so that it is the reverse of starting by construction.

use crate::{Group, Node, Reason, group::Shape};
use std::collections::{BTreeSet, HashMap};

/// A service and its neighbours in the order, by their places in the plan.
pub(crate) struct Step {
    pub node: Node,
    /// Who is up before it starts, and stops after it.
    pub before: BTreeSet<usize>,
    /// Who starts when it is up, and has stopped before it.
    pub after: BTreeSet<usize>,
}

/// Every service of a stack once, each behind all that it waits for; the last is the one the stack is for.
pub(crate) fn plan(root: &Node) -> Result<Vec<Step>, Reason> {
    let mut planner = Planner::default();
    planner.service(root, &BTreeSet::new())?;
    Ok(planner.steps)
}

#[derive(Default)]
struct Planner {
    steps: Vec<Step>,
    places: HashMap<usize, usize>,
    /// Those whose dependencies are being planned: each depends on the next.
    path: Vec<Node>,
}

impl Planner {
    /// Plans what is not planned yet to start behind `entry`; what comes back is everybody who is up when the group is.
    fn group(&mut self, group: &Group, entry: &BTreeSet<usize>) -> Result<BTreeSet<usize>, Reason> {
        match &group.0 {
            Shape::One(node) => Ok(BTreeSet::from([self.service(node, entry)?])),
            Shape::Sequence(parts) => {
                let mut up = BTreeSet::new();
                for part in parts {
                    let behind = entry.union(&up).copied().collect();
                    up.extend(self.group(part, &behind)?);
                }
                Ok(up)
            }
            Shape::Parallel(parts) => {
                let mut up = BTreeSet::new();
                for part in parts {
                    up.extend(self.group(part, entry)?);
                }
                Ok(up)
            }
        }
    }

    fn service(&mut self, node: &Node, entry: &BTreeSet<usize>) -> Result<usize, Reason> {
        if let Some(place) = self.places.get(&node.identity()) {
            return Ok(*place);
        }
        self.refuse_cycle(node)?;
        self.path.push(node.clone());
        let mut before = self.group(&node.dependencies(), entry)?;
        self.path.pop();
        before.extend(entry);
        let place = self.steps.len();
        for earlier in &before {
            self.steps[*earlier].after.insert(place);
        }
        self.steps.push(Step { node: node.clone(), before, after: BTreeSet::new() });
        self.places.insert(node.identity(), place);
        Ok(place)
    }

    fn refuse_cycle(&self, node: &Node) -> Result<(), Reason> {
        let Some(first) = self.path.iter().position(|upper| upper.identity() == node.identity()) else { return Ok(()) };
        Err(Reason::Cycle { services: self.path[first..].iter().chain([node]).map(Node::name).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Service, parallel, sequence};
    use std::sync::{Arc, OnceLock};

    /// A service that is nothing but its name and what it depends on.
    struct Plain {
        name: String,
        dependencies: OnceLock<Group>,
    }

    impl Service for Plain {
        fn name(&self) -> String {
            self.name.clone()
        }

        fn dependencies(&self) -> Group {
            self.dependencies.get().cloned().unwrap_or_else(Group::none)
        }
    }

    fn plain(name: impl Into<String>) -> Arc<Plain> {
        Arc::new(Plain { name: name.into(), dependencies: OnceLock::new() })
    }

    fn on(name: &str, dependencies: Group) -> Arc<Plain> {
        Arc::new(Plain { name: name.to_owned(), dependencies: OnceLock::from(dependencies) })
    }

    /// `name<before,before`, in the order of the plan.
    fn written(root: &Arc<Plain>) -> Vec<String> {
        let steps = plan(&root.into()).unwrap();
        let names = |places: &BTreeSet<usize>| places.iter().map(|place| steps[*place].node.name()).collect::<Vec<_>>().join(",");
        steps.iter().map(|step| format!("{}<{}", step.node.name(), names(&step.before))).collect()
    }

    #[test]
    fn a_list_is_one_after_the_other_and_a_nested_one_side_by_side() {
        let (b, c, d) = (plain("b"), plain("c"), plain("d"));
        let a = on("a", sequence![parallel![&b, &c], &d]);
        assert_eq!(written(&a), ["b<", "c<", "d<b,c", "a<b,c,d"]);
    }

    #[test]
    fn what_a_later_part_needs_starts_behind_the_earlier_part() {
        let x = plain("x");
        let (b, c) = (plain("b"), on("c", sequence![&x]));
        assert_eq!(written(&on("a", sequence![&b, &c])), ["b<", "x<b", "c<b,x", "a<b,c"]);
    }

    #[test]
    fn a_shared_dependency_is_planned_once_and_outlives_all_who_need_it() {
        let x = plain("x");
        let (b, c) = (on("b", sequence![&x]), on("c", sequence![&x]));
        assert_eq!(written(&on("a", parallel![&b, &c])), ["x<", "b<x", "c<x", "a<b,c"]);
    }

    #[test]
    fn an_order_that_contradicts_a_dependency_is_no_cycle() {
        let c = plain("c");
        let b = on("b", sequence![&c]);
        assert_eq!(written(&on("a", sequence![&b, &c, &b])), ["c<", "b<c", "a<c,b"]);
    }

    #[test]
    fn a_cycle_is_refused_by_name() {
        let (a, b, c) = (plain("a"), plain("b"), plain("c"));
        a.dependencies.set(sequence![&b]).unwrap();
        b.dependencies.set(parallel![&c]).unwrap();
        c.dependencies.set(sequence![&b]).unwrap();
        let refused = plan(&(&a).into()).err().unwrap();
        assert_eq!(refused.to_string(), "services depend on each other in a circle: b, c, b; take one of these dependencies out");
    }

    #[test]
    fn who_stands_in_any_graph_waits_for_all_it_depends_on() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let services: Vec<_> = (0..random.usize(1..12)).map(|number| plain(number.to_string())).collect();
            for (number, service) in services.iter().enumerate() {
                let below: Vec<_> = services[..number].iter().filter(|_| random.u8(0..3) == 0).collect();
                let (left, right) = below.split_at(random.usize(0..=below.len()));
                let group = sequence![Group::parallel(left.iter().copied()), Group::sequence(right.iter().copied())];
                service.dependencies.set(group).unwrap();
            }
            let root = services.last().unwrap();
            let steps = plan(&root.into()).unwrap();
            let place = |name: &str| steps.iter().position(|step| step.node.name() == name).unwrap();
            for (at, step) in steps.iter().enumerate() {
                let needed: Vec<_> = leaves(&step.node.dependencies());
                assert!(
                    needed.iter().all(|name| step.before.contains(&place(name))),
                    "{} waits for {needed:?}",
                    step.node.name()
                );
                assert!(step.before.iter().all(|before| *before < at && steps[*before].after.contains(&at)));
            }
        }
    }

    fn leaves(group: &Group) -> Vec<String> {
        match &group.0 {
            Shape::One(node) => vec![node.name()],
            Shape::Sequence(parts) | Shape::Parallel(parts) => parts.iter().flat_map(leaves).collect(),
        }
    }
}
