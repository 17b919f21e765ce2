//! How many workers a queue needs so that its first item does not wait too long. Pure: it knows no queue, no clock and no process.
//!
//! ```text
//!   lag beyond the target ──► more, in proportion, at once
//!   lag below half of it, or nothing there, for a calm time ──► one less
//!   in between ──► as many as there are
//! ```
//!
//! A queue that is empty may have just enough workers, or too many: that shows only when there is one less. When that turns out to have
//! been one too few, it is tried again after twice the time, up to a limit. So a steady load sees few trials, and a load that is gone is
//! followed down.

/// After more workers were wanted, these need a moment to start and to make a difference, before still more are: half of the target, but
/// no less than this. Most programs have started within a second.
const START_MS: u64 = 1000;

/// The first calm time: twice the target, but no less than this. Work comes in bursts; who is sent away has to be started again.
const CALM_MS_MIN: u64 = 5000;

/// How much longer than the first the time may become after which it is tried again how few are enough: one trial in so many costs
/// little, and who is not needed any more is kept for minutes, not for hours.
const CALM_GROWTH_MAX: u64 = 32;

/// A year. It keeps sums of times within their numbers.
const TARGET_MS_MAX: u64 = 366 * 86_400_000;

/// Wants workers for one process.
#[derive(Clone, Debug)]
pub struct Scaler {
    min: u32,
    max: u32,
    target_ms: u64,
    /// When more were wanted last, and what the lag was then; forgotten when it is below the target again.
    raised: Option<Raised>,
    /// Since when there is little to do.
    calm_since: Option<u64>,
    /// So many there are since one went, and it is not known yet whether that is too few.
    trial: Option<u32>,
    /// So many were too few, the last time that was tried, and how long it has to be calm before it is tried again.
    too_few: Option<(u32, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Raised {
    at_ms: u64,
    lag_ms: u64,
}

impl Scaler {
    /// Never less than `min` nor more than `max` workers; the first item should not wait longer than `target_lag_ms`.
    pub fn new(min: u32, max: u32, target_lag_ms: u64) -> Scaler {
        let target_ms = target_lag_ms.clamp(1, TARGET_MS_MAX);
        Scaler { min, max: max.max(min), target_ms, raised: None, calm_since: None, trial: None, too_few: None }
    }

    /// How many workers there should be from now on, where there should be `workers` until now: `ready` items wait, the first of them for `oldest_ms`.
    /// To be asked again and again, at least twice within the target.
    pub fn wanted(&mut self, now_ms: u64, oldest_ms: u64, ready: u64, workers: u32) -> u32 {
        let lag_ms = if ready == 0 { 0 } else { oldest_ms };
        let wanted = if lag_ms > self.target_ms || (workers == 0 && ready > 0) {
            self.calm_since = None;
            self.more(now_ms, lag_ms, ready, workers)
        } else {
            self.raised = None;
            self.fewer(now_ms, lag_ms, workers)
        };
        wanted.clamp(self.min, self.max)
    }

    fn more(&mut self, now_ms: u64, lag_ms: u64, ready: u64, workers: u32) -> u32 {
        if let Some(tried) = self.trial.take() {
            let calm_ms = self.too_few.map_or(self.calm_ms(), |(_, calm_ms)| calm_ms);
            self.too_few = Some((tried, (calm_ms * 2).min(self.calm_ms() * CALM_GROWTH_MAX)));
        }
        // Those who were wanted last are given a chance to start; and where the lag falls since, they are enough.
        let pause_ms = START_MS.max(self.target_ms / 2);
        let is_enough = |raised: Raised| now_ms.saturating_sub(raised.at_ms) < pause_ms || lag_ms < raised.lag_ms;
        if workers > 0 && self.raised.is_some_and(is_enough) {
            return workers;
        }
        self.raised = Some(Raised { at_ms: now_ms, lag_ms });
        let workers = u64::from(workers);
        let proportional = workers.saturating_mul(lag_ms).div_ceil(self.target_ms);
        // One more than there are items would have nothing to do.
        let wanted = proportional.max(workers + 1).min(workers.saturating_add(ready));
        u32::try_from(wanted).unwrap_or(u32::MAX)
    }

    fn fewer(&mut self, now_ms: u64, lag_ms: u64, workers: u32) -> u32 {
        if lag_ms > self.target_ms / 2 {
            self.calm_since = None;
            return workers;
        }
        let since = *self.calm_since.get_or_insert(now_ms);
        let fewer = workers.saturating_sub(1);
        let calm_ms = self.too_few.filter(|(count, _)| fewer <= *count).map_or(self.calm_ms(), |(_, calm_ms)| calm_ms);
        if workers <= self.min || now_ms.saturating_sub(since) < calm_ms {
            return workers;
        }
        // The last trial seems to have gone well; but where a little is missing, the lag grows slowly.
        if self.trial.replace(fewer).is_some() {
            let halved = self.too_few.map(|(count, calm_ms)| (count, if workers <= count { calm_ms / 2 } else { calm_ms }));
            self.too_few = halved.filter(|(_, calm_ms)| *calm_ms > self.calm_ms());
        }
        self.calm_since = Some(now_ms);
        fewer
    }

    fn calm_ms(&self) -> u64 {
        CALM_MS_MIN.max(self.target_ms * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn what_waits_too_long_gets_more_workers_in_proportion_at_once() {
        let mut scaler = Scaler::new(1, 20, 1000);
        assert_eq!(scaler.wanted(0, 900, 50, 2), 2, "not beyond the target");
        assert_eq!(scaler.wanted(10, 1001, 50, 2), 3, "at least one more");
        assert_eq!(scaler.wanted(20, 9000, 50, 3), 3, "they are given a chance to start");
        assert_eq!(scaler.wanted(1010, 4000, 50, 3), 12, "four times as long as it should");
        assert_eq!(scaler.wanted(2020, 3900, 50, 12), 12, "the lag falls: they are enough");
        assert_eq!(scaler.wanted(2030, 4000, 2, 12), 14, "two items have no use for more");
        assert_eq!(scaler.wanted(3040, 4000, 50, 14), 20, "never more than allowed");
    }

    #[test]
    fn workers_go_one_by_one_after_a_calm_time_each() {
        let mut scaler = Scaler::new(1, 20, 1000);
        assert_eq!(scaler.wanted(0, 0, 0, 5), 5);
        assert_eq!(scaler.wanted(4999, 0, 0, 5), 5);
        assert_eq!(scaler.wanted(5000, 0, 0, 5), 4);
        assert_eq!(scaler.wanted(5001, 400, 3, 4), 4, "a little lag is calm");
        assert_eq!(scaler.wanted(7000, 600, 3, 4), 4, "more is not");
        assert_eq!(scaler.wanted(10_000, 0, 0, 4), 4, "so it begins anew");
        assert_eq!(scaler.wanted(15_000, 0, 0, 4), 3);
    }

    #[test]
    fn where_nobody_works_an_item_gets_somebody_at_once() {
        let mut scaler = Scaler::new(0, 4, 60_000);
        assert_eq!(scaler.wanted(0, 0, 0, 0), 0);
        assert_eq!(scaler.wanted(1, 1, 9, 0), 1);
    }

    #[test]
    fn limits_hold_for_what_others_have_set() {
        let mut scaler = Scaler::new(2, 4, 1000);
        assert_eq!(scaler.wanted(0, 0, 0, 0), 2);
        assert_eq!(scaler.wanted(1, 0, 0, 9), 4);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_stays_within_its_limits(
            (min, span, target) in (0..10u32, 0..10u32, 0..u64::MAX),
            asked in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>()), 1..50),
        ) {
            let mut scaler = Scaler::new(min, min + span, target);
            for (now, oldest, ready, workers) in asked {
                let wanted = scaler.wanted(now, oldest, ready, workers);
                prop_assert!((min..=min + span).contains(&wanted));
            }
        }

        /// An hour of a steady load that so many workers can carry: after ten minutes there are never many more, the first item rarely
        /// waits long, and there are few changes.
        #[test]
        fn a_steady_load_gets_what_it_needs_without_flapping(needed in 1..9u32, use_percent in 30..95u64, work_ms in 100..3000u64) {
            let target = 5000;
            let mut world = World::new(target, 1);
            let between_ms = work_ms * 100 / (u64::from(needed) * use_percent);
            prop_assume!(between_ms > 0);
            world.run(600_000, Some(between_ms), work_ms);
            world.changes = 0;
            world.run(3_000_000, Some(between_ms), work_ms);
            // A trial down and back, sometimes by one too many, each 32 calm times. Without the memory of trials there are hundreds.
            prop_assert!(world.changes <= 60, "{} changes", world.changes);
            prop_assert!(world.workers <= needed + 2, "{} workers", world.workers);
            prop_assert!(world.lag_ms_max <= 3 * target, "lag {}", world.lag_ms_max);
            // The load ends: they go.
            world.run(3_600_000, None, work_ms);
            prop_assert_eq!(world.workers, 1);
        }

        #[test]
        fn a_sudden_load_is_worked_off(burst in 100..2000usize, work_ms in 100..2000u64) {
            let mut world = World::new(5000, 0);
            world.waiting = vec![0; burst].into();
            world.run(3_600_000, None, work_ms);
            prop_assert!(world.waiting.is_empty());
            prop_assert_eq!(world.workers, 0);
        }
    }

    /// A queue and its workers, of which each starts at once and does one item after the other.
    struct World {
        scaler: Scaler,
        now: u64,
        workers: u32,
        /// When each came.
        waiting: VecDeque<u64>,
        /// When each ends who works now.
        busy: Vec<u64>,
        next: u64,
        changes: u32,
        lag_ms_max: u64,
    }

    impl World {
        fn new(target: u64, min: u32) -> World {
            let (waiting, busy) = (VecDeque::new(), Vec::new());
            World {
                scaler: Scaler::new(min, 16, target),
                now: 0,
                workers: min,
                waiting,
                busy,
                next: 0,
                changes: 0,
                lag_ms_max: 0,
            }
        }

        fn run(&mut self, for_ms: u64, between_ms: Option<u64>, work_ms: u64) {
            const STEP_MS: u64 = 20;
            let end = self.now + for_ms;
            (self.lag_ms_max, self.next) = (0, self.now);
            while self.now < end {
                while let Some(between) = between_ms.filter(|_| self.next <= self.now) {
                    self.waiting.push_back(self.now);
                    self.next += between;
                }
                self.busy.retain(|until| *until > self.now);
                while self.busy.len() < self.workers as usize && self.waiting.pop_front().is_some() {
                    self.busy.push(self.now + work_ms);
                }
                let oldest = self.waiting.front().map_or(0, |came| self.now - came);
                self.lag_ms_max = self.lag_ms_max.max(oldest);
                if self.now.is_multiple_of(500) {
                    let wanted = self.scaler.wanted(self.now, oldest, self.waiting.len() as u64, self.workers);
                    self.changes += u32::from(wanted != self.workers);
                    self.workers = wanted;
                }
                self.now += STEP_MS;
            }
        }
    }
}
