//! The one place where the broker reads a clock.

use crate::objects::kind::Moment;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The broker's time line: it starts at the system's time and then only follows the monotonic clock, so that a step of the
/// system's time expires nothing.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Moment,
    hand: Hand,
}

#[derive(Clone, Debug)]
enum Hand {
    Monotonic(Instant),
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A time line that starts now.
    pub fn start() -> Clock {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { start: Moment(since_1970.as_millis() as u64), hand: Hand::Monotonic(Instant::now()) }
    }

    /// A time line for simulations: it stands still until [`Clock::advance`].
    pub fn manual(start: Moment) -> Clock {
        Clock { start, hand: Hand::Manual(Arc::default()) }
    }

    /// Lets time pass on a manual clock; others do not need it.
    pub fn advance(&self, ms: u64) {
        if let Hand::Manual(elapsed) = &self.hand {
            elapsed.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// When the time line started.
    pub fn epoch(&self) -> Moment {
        self.start
    }

    /// What time it is.
    pub fn now(&self) -> Moment {
        self.start.after_ms(match &self.hand {
            Hand::Monotonic(started) => started.elapsed().as_millis() as u64,
            Hand::Manual(elapsed) => elapsed.load(Ordering::Relaxed),
        })
    }

    /// Waits until a moment. Nobody waits by a manual clock.
    pub async fn sleep_until(&self, moment: Moment) {
        // One millisecond more, because `now` rounds down: nobody wakes before the moment has come.
        let from_start = Duration::from_millis(moment.ms_since(self.start).saturating_add(1));
        let instant = match &self.hand {
            Hand::Monotonic(started) => started.checked_add(from_start),
            Hand::Manual(_) => None,
        };
        match instant {
            Some(instant) => tokio::time::sleep_until(instant.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Waits this long.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
