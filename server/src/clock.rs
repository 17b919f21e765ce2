//! The one place where the broker reads a clock.

use crate::objects::kind::Moment;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The broker's time line: it starts at the system's time and then only follows the monotonic clock, so that a step of the
/// system's time expires nothing.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Moment,
    started: Instant,
}

impl Clock {
    /// A time line that starts now.
    pub fn start() -> Clock {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { start: Moment(since_1970.as_millis() as u64), started: Instant::now() }
    }

    /// When the time line started.
    pub fn epoch(&self) -> Moment {
        self.start
    }

    /// What time it is.
    pub fn now(&self) -> Moment {
        self.start.after_ms(self.started.elapsed().as_millis() as u64)
    }

    /// Waits until a moment; the monotonic clock decides.
    pub async fn sleep_until(&self, moment: Moment) {
        // One millisecond more, because `now` rounds down: nobody wakes before the moment has come.
        let from_start = Duration::from_millis(moment.ms_since(self.start).saturating_add(1));
        match self.started.checked_add(from_start) {
            Some(instant) => tokio::time::sleep_until(instant.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Waits this long.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
