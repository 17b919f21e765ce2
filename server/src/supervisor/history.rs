//! What happened to processes: the latest of it is kept, told to the log at once, and to who listens at their own pace. Who is too slow is
//! told how much was missed; nobody waits for a reader.

use crate::clock::Clock;
use bursar::processes::Activity;
use futures_util::stream::{Stream, unfold};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many events are kept. A crash loop makes some a second, so that this is minutes of the worst, and days of a quiet host.
const KEPT_MAX: usize = 4096;

/// See the [module](self).
pub struct History {
    clock: Clock,
    /// Short sections, in which nothing else is called.
    kept: Mutex<VecDeque<Activity>>,
    /// How many there ever were.
    count: watch::Sender<u64>,
    /// Nothing happens any more.
    over: CancellationToken,
}

impl History {
    pub fn new(clock: Clock) -> Arc<History> {
        Arc::new(History { clock, kept: Mutex::default(), count: watch::channel(0).0, over: CancellationToken::new() })
    }

    /// It happened now.
    pub fn tell(&self, activity: Activity) {
        log(&activity);
        let activity = Activity { at_ms: self.clock.now().0, ..activity };
        let mut kept = self.kept.lock();
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(activity);
        // Under the lock, so that the count is that of what is kept.
        self.count.send_modify(|count| *count += 1);
    }

    /// Nothing happens any more: who reads comes to an end, and does not keep the broker from going.
    pub fn end(&self) {
        self.over.cancel();
    }

    /// Waits for that.
    pub async fn ended(&self) {
        self.over.cancelled().await;
    }

    /// Waits until nobody reads any more.
    pub async fn read(&self) {
        self.count.closed().await;
    }

    /// What happens from now on until there is an end, with the last few before.
    pub fn follow(self: &Arc<History>, past: u32) -> impl Stream<Item = Activity> + Send + use<> {
        let (position, count) = {
            let kept = self.kept.lock();
            let count = self.count.subscribe();
            let all = *count.borrow();
            (all - (kept.len() as u64).min(past.into()), count)
        };
        unfold((self.clone(), count, position), async |(history, mut count, position)| {
            let reached = async { count.wait_for(|count| *count > position).await.is_ok() };
            tokio::select! {
                biased;
                true = reached => {}
                () = history.ended() => return None,
            }
            let (activity, next) = history.at(position);
            Some((activity, (history, count, next)))
        })
    }

    /// What stands at a position that was reached, or how much of it is not there any more; and where to go on.
    fn at(&self, position: u64) -> (Activity, u64) {
        let kept = self.kept.lock();
        let first = *self.count.borrow() - kept.len() as u64;
        if position < first {
            let text = format!("{} events were missed: the reader was too slow", first - position);
            return (Activity { at_ms: self.clock.now().0, what: "missed".into(), text, ..Activity::default() }, first);
        }
        (kept[(position - first) as usize].clone(), position + 1)
    }
}

/// What somebody has to look at is a warning.
fn log(activity: &Activity) {
    let Activity { at_ms: _, process, worker, what, text, pid, exit } = activity;
    let worker = worker.map(tracing::field::display);
    let is_bad = exit.as_ref().is_some_and(|exit| !exit.expected && exit.code != 0)
        || ["spent", "overdue", "not-ready", "unhealthy", "restart-failed", "hook-failed", "message"].contains(&what.as_str());
    if is_bad {
        tracing::warn!(process, worker, pid, what, "{text}");
    } else {
        tracing::info!(process, worker, pid, what, "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt};
    use std::pin::pin;

    #[test]
    fn who_follows_hears_the_last_of_it_and_then_its_end() {
        let history = History::new(Clock::start());
        let mut follower = pin!(history.follow(0));
        history.tell(event(1));
        history.end();
        assert_eq!(follower.next().now_or_never().unwrap().unwrap().text, "1");
        assert_eq!(follower.next().now_or_never().unwrap(), None);
    }

    fn event(number: usize) -> Activity {
        Activity { text: number.to_string(), ..Activity::default() }
    }

    #[test]
    fn a_reader_gets_what_was_and_what_comes_and_is_told_what_it_missed() {
        let history = History::new(Clock::start());
        (0..3).for_each(|number| history.tell(event(number)));
        let mut reader = pin!(history.follow(2));
        let mut next = || reader.next().now_or_never().flatten().map(|activity| (activity.what, activity.text));
        let text = |text: &str| Some((String::new(), text.to_owned()));
        assert_eq!([next(), next(), next()], [text("1"), text("2"), None]);
        (3..5 + KEPT_MAX).for_each(|number| history.tell(event(number)));
        assert_eq!(next(), Some(("missed".into(), "2 events were missed: the reader was too slow".into())));
        assert_eq!(next(), text("5"));
        assert_eq!(history.follow(u32::MAX).take(KEPT_MAX).count().now_or_never(), Some(KEPT_MAX));
    }
}
