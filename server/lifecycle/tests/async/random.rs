//! Random graphs whose services start and stop slowly, fail, have tasks that fail, and are interrupted at any moment.
//!
//! A failure prints its seed.

use super::probe::{Log, Probe};
use bursar_lifecycle::{Group, Interrupts, Signal, Stack};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

#[test]
fn whatever_fails_and_whenever_it_is_interrupted_the_order_holds() {
    for seed in 0..400 {
        let run = std::panic::catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            runtime.block_on(World::new(seed).run());
        });
        if let Err(panic) = run {
            eprintln!("random graphs failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

struct World {
    random: fastrand::Rng,
    log: Log,
    services: Vec<Arc<Probe>>,
    /// By service: the services it depends on.
    below: Vec<Vec<usize>>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut world = World { random: fastrand::Rng::with_seed(seed), log: Log::default(), services: vec![], below: vec![] };
        for number in 0..world.random.usize(1..9) {
            let below: Vec<usize> = (0..number).filter(|_| world.random.u8(0..3) == 0).collect();
            let probe = world.probe(number, &below);
            world.services.push(probe);
            world.below.push(below);
        }
        world
    }

    fn probe(&mut self, number: usize, below: &[usize]) -> Arc<Probe> {
        let random = &mut self.random;
        let (left, right) = below.split_at(random.usize(0..=below.len()));
        let groups = [
            Group::parallel(left.iter().map(|at| &self.services[*at])),
            Group::sequence(right.iter().map(|at| &self.services[*at])),
        ];
        let group = if random.bool() { Group::sequence(groups) } else { Group::parallel(groups) };
        let [start_ms, stop_ms, task_ms] = [0; 3].map(|_| random.u64(0..4) * 100);
        let [start_fails, stop_fails, task_fails] = [12, 12, 8].map(|odds| random.u8(0..odds) == 0);
        let name = number.to_string();
        let (of_start, of_stop) = ((self.log.clone(), name.clone()), (self.log.clone(), name.clone()));
        let probe = self.log.probe(&name).on(group).starting(move |context| {
            let (log, name) = of_start.clone();
            async move {
                log.add(format!("{name} starting"));
                let end = log.at_end(&format!("{name} task gone"));
                context.add_task("task", async move {
                    let _end = end;
                    tokio::time::sleep(Duration::from_millis(task_ms)).await;
                    if task_fails { Err("task".into()) } else { std::future::pending().await }
                });
                tokio::time::sleep(Duration::from_millis(start_ms)).await;
                if start_fails { Err("start".into()) } else { Ok(()) }
            }
        });
        let probe = probe.stopping(move || {
            let (log, name) = of_stop.clone();
            async move {
                log.add(format!("{name} stopping"));
                tokio::time::sleep(Duration::from_millis(stop_ms)).await;
                log.add(format!("{name} stopped or not"));
                if stop_fails { Err("stop".into()) } else { Ok(()) }
            }
        });
        probe.arc()
    }

    async fn run(mut self) {
        let (press, interrupts) = mpsc::channel(1);
        let when = Duration::from_millis(self.random.u64(0..12) * 100);
        let stack = Stack::new(self.services.last().unwrap()).unwrap();
        let interrupt = async {
            tokio::time::sleep(when).await;
            press.send(Signal::Interrupt).await.unwrap();
            std::future::pending::<()>().await
        };
        let error = tokio::select! {
            ended = stack.run(Interrupts::given(interrupts)) => ended.unwrap_err(),
            () = interrupt => unreachable!("it never ends"),
        };
        let lines = self.log.take();
        self.check(&lines, &format!("{error}\n{lines:#?}"));
    }

    fn check(&self, lines: &[String], told: &str) {
        let at = |number: usize, what: &str| {
            let line = format!("{number} {what}");
            assert!(lines.iter().filter(|other| **other == line).count() <= 1, "{line} twice: {told}");
            lines.iter().position(|other| *other == line)
        };
        for (number, below) in self.below.iter().enumerate() {
            let (starting, started, stopping) = (at(number, "starting"), at(number, "started"), at(number, "stopping"));
            assert_eq!(started.is_some(), stopping.is_some(), "who came up is stopped, and nobody else: {number}: {told}");
            let gone = at(number, "task gone");
            assert_eq!(starting.is_some(), gone.is_some(), "no task is left, {number}: {told}");
            if let (Some(gone), Some(stopping)) = (gone, stopping) {
                assert!(gone < stopping, "its tasks end before it stops, {number}: {told}");
            }
            for below in below {
                if let Some(starting) = starting {
                    assert!(at(*below, "started").unwrap() < starting, "{below} is up before {number} starts: {told}");
                    let stopped = at(number, "stopped or not").or(gone).unwrap();
                    assert!(stopped < at(*below, "stopping").unwrap(), "{number} has stopped before {below} stops: {told}");
                }
            }
        }
    }
}
