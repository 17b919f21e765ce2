//! Which of its figures matter most of an object of each kind.

use bursar::Described;

/// What `depth` counts, and how that is made of the figures of the kind.
struct Depth {
    kind: &'static str,
    /// These are added up.
    figures: &'static [&'static str],
    word: &'static str,
    /// What grows with each use; empty: nothing does.
    rate: &'static [&'static str],
}

const fn depth(kind: &'static str, figures: &'static [&'static str], word: &'static str, rate: &'static [&'static str]) -> Depth {
    Depth { kind, figures, word, rate }
}

/// One line for each kind.
const DEPTHS: [Depth; 15] = [
    depth("queue", &["ready", "delayed"], "ready", &["put"]),
    depth("kv", &["keys"], "keys", &["revision"]),
    depth("lock", &["depth"], "held", &["last_token"]),
    depth("rwlock", &["readers", "writers"], "held", &["last_token"]),
    depth("semaphore", &["held"], "held", &[]),
    depth("condition", &["waiters"], "wait", &["last_token"]),
    depth("event", &["is_set"], "set", &["version"]),
    depth("latch", &["left"], "left", &[]),
    depth("barrier", &["arrived"], "arrived", &["generation"]),
    depth("counter", &["above_zero"], "", &[]),
    depth("list", &["len"], "values", &["revision"]),
    depth("array", &["length"], "numbers", &[]),
    depth("channel", &["a_waiting", "b_waiting"], "messages", &["a_received", "b_received"]),
    depth("topic", &["buffered"], "unread", &["position"]),
    depth("object", &["waiting", "running"], "calls", &["calls"]),
];

fn of_kind(object: &Described) -> Option<&'static Depth> {
    DEPTHS.iter().find(|depth| depth.kind == object.kind)
}

fn sum(object: &Described, figures: &[&str]) -> u64 {
    figures.iter().filter_map(|figure| object.figures.get(*figure)).sum()
}

/// The figure that matters, with what it counts: `12 ready`.
pub fn depth_of(object: &Described) -> String {
    match of_kind(object) {
        Some(Depth { kind: "counter", .. }) if sum(object, &["below_zero"]) > 0 => format!("-{}", sum(object, &["below_zero"])),
        Some(Depth { figures, word: "", .. }) => sum(object, figures).to_string(),
        Some(Depth { figures, word, .. }) => format!("{} {word}", sum(object, figures)),
        // A kind of the broker's own program.
        None => "-".into(),
    }
}

/// What grows with each use, if anything does.
pub fn uses_of(object: &Described) -> Option<u64> {
    let depth = of_kind(object).filter(|depth| !depth.rate.is_empty())?;
    Some(sum(object, depth.rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::top::state::tests::object, testing::TestBroker};
    use bursar::blocking::Manager;

    #[test]
    fn every_kind_has_its_figure() {
        let mut kinds = DEPTHS.map(|depth| depth.kind);
        let mut all = bursar_proto::KINDS.to_vec();
        kinds.sort_unstable();
        all.sort_unstable();
        assert_eq!(kinds[..], all[..]);
    }

    #[test]
    fn figures_are_said_with_what_they_count() {
        let queue = object("jobs", "queue", &[("ready", 3), ("delayed", 2), ("put", 9)]);
        assert_eq!((depth_of(&queue).as_str(), uses_of(&queue)), ("5 ready", Some(9)));
        assert_eq!(depth_of(&object("n", "counter", &[("above_zero", 0), ("below_zero", 4)])), "-4");
        assert_eq!(depth_of(&object("n", "counter", &[("above_zero", 4), ("below_zero", 0)])), "4");
        assert_eq!((depth_of(&object("n", "own", &[])).as_str(), uses_of(&object("n", "own", &[]))), ("-", None));
    }

    /// A figure that is called otherwise than here would be shown as nothing.
    #[test]
    fn the_broker_has_these_figures() {
        let broker = TestBroker::start();
        let manager = Manager::connect(broker.address(), broker.authkey()).unwrap();
        manager.raw_queue("queue").open_or_create().unwrap();
        manager.raw_kv("kv").open_or_create().unwrap();
        manager.lock("lock").open_or_create().unwrap();
        manager.rwlock("rwlock").open_or_create().unwrap();
        manager.semaphore("semaphore").permits(1).open_or_create().unwrap();
        manager.condition("condition").open_or_create().unwrap();
        manager.event("event").open_or_create().unwrap();
        manager.latch("latch").count(1).open_or_create().unwrap();
        manager.barrier("barrier").parties(2).open_or_create().unwrap();
        manager.counter("counter").open_or_create().unwrap();
        manager.raw_list("list").open_or_create().unwrap();
        manager.array::<u8>("array").length(3).open_or_create().unwrap();
        manager.raw_channel("channel").open_or_create().unwrap();
        manager.object("object").open_or_create().unwrap();
        for object in manager.objects().list("").unwrap() {
            let depth = of_kind(&object).unwrap();
            for figure in depth.figures.iter().chain(depth.rate) {
                assert!(object.figures.contains_key(*figure), "{} has no {figure}: {:?}", object.kind, object.figures);
            }
        }
    }
}
