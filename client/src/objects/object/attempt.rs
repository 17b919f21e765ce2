//! One call while it is carried out: the method's future, and all that stands around each of its polls.

use super::{
    Answer, Answering, Call, Failed, Service,
    context::{self, Context},
};
use crate::objects::queue::text;
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{self, Poll, Waker},
    time::{Duration, Instant},
};

/// A method whose first poll takes longer than this keeps other calls waiting for longer than a task of its own costs: some ten times what it
/// costs to wake a thread.
const QUICK: Duration = Duration::from_micros(50);

/// Slow first polls in a row that make a method a slow one. A single one may be the scheduler's doing.
const SLOW_IN_A_ROW: u8 = 2;

/// How many first polls of a method were slow since the last one that was not.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU8);

impl Pace {
    pub fn is_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= SLOW_IN_A_ROW
    }

    /// One poll may be forgotten if two are noted at once: it is about time only.
    fn note(&self, took: Duration) {
        let before = self.0.load(Ordering::Relaxed);
        let now = if took > QUICK { SLOW_IN_A_ROW.min(before + 1) } else { 0 };
        // As a rule nothing changes, and a write would take the line of memory away from other threads.
        if now != before {
            self.0.store(now, Ordering::Relaxed);
        }
    }
}

/// See the module. It gives an answer whatever the method does.
pub(super) struct Attempt {
    stage: Stage,
    /// In the thread while the method is polled.
    context: Option<Context>,
    pace: Option<Arc<Pace>>,
}

enum Stage {
    Unbegun(Arc<dyn Service>, Box<Call>),
    Begun(Answering),
    Over,
}

impl Attempt {
    pub fn new(service: Arc<dyn Service>, call: Call, context: Context, pace: Option<Arc<Pace>>) -> Attempt {
        Attempt { stage: Stage::Unbegun(service, Box::new(call)), context: Some(context), pace }
    }

    /// Polls it once, where a quick method is done. Whoever goes on with it polls it again.
    pub fn look(&mut self) -> Poll<Answer> {
        let mut context = task::Context::from_waker(Waker::noop());
        // The budget of a task is for its own work; here it is many calls.
        Pin::new(&mut tokio::task::unconstrained(self)).poll(&mut context)
    }

    fn begin(&mut self) {
        if let Stage::Unbegun(service, call) = std::mem::replace(&mut self.stage, Stage::Over) {
            self.stage = Stage::Begun(service.call(*call));
        }
    }

    fn step(&mut self, waker: &mut task::Context<'_>) -> Poll<Answer> {
        let is_first = matches!(self.stage, Stage::Unbegun(..));
        let begun = is_first.then(Instant::now);
        if is_first {
            self.begin();
        }
        let polled = match &mut self.stage {
            Stage::Begun(future) => future.as_mut().poll(waker),
            _ => Poll::Pending,
        };
        if let (Some(pace), Some(begun)) = (&self.pace, begun) {
            pace.note(begun.elapsed());
        }
        polled
    }

    /// Drops the method where it stands, as it is polled: on behalf of its call, and whatever it does.
    fn end(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        context::within(&mut self.context.take(), || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(stage))) {
                tracing::warn!(panic = text(&*panic), "a method panicked when it was dropped");
            }
        });
    }
}

impl Future for Attempt {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, waker: &mut task::Context<'_>) -> Poll<Answer> {
        let attempt = &mut *self;
        let mut context = attempt.context.take();
        let polled = context::within(&mut context, || catch_unwind(AssertUnwindSafe(|| attempt.step(waker))));
        attempt.context = context;
        let answer = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(answer)) => answer,
            Err(panic) => panicked(&*panic),
        };
        attempt.end();
        Poll::Ready(answer)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Over) {
            self.end();
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Answer {
    Answer::Failed(Failed::new(Failed::PANIC, format!("the method panicked: {}", text(panic))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_slow_after_two_slow_polls_and_quick_after_one_quick_one() {
        let pace = Pace::default();
        let looks = [QUICK * 2, QUICK, QUICK * 2, QUICK * 2, QUICK * 2, QUICK];
        let slow = looks.map(|took| {
            pace.note(took);
            pace.is_slow()
        });
        assert_eq!(slow, [false, false, false, true, true, false]);
    }
}
