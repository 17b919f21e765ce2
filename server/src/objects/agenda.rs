//! When hosts want to be woken: one task and one ordered map for all objects.

use super::{host::Hosted, kind::Moment};
use crate::clock::Clock;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Weak},
};
use tokio::sync::{Notify, oneshot};

/// The appointments of all hosts.
#[derive(Default)]
pub struct Agenda {
    /// By moment, then by the epoch of the object. Short sections, never across an await.
    appointments: Mutex<BTreeMap<(Moment, u64), Weak<dyn Hosted>>>,
    sooner: Notify,
    /// Who asks whether the appointments are kept. A short section.
    questions: Mutex<Vec<oneshot::Sender<()>>>,
}

impl Agenda {
    /// Wakes the host at this moment, or soon after, instead of the later one that it had asked for before.
    pub fn add(&self, at: Moment, epoch: u64, host: Weak<dyn Hosted>, instead_of: Option<Moment>) {
        let mut appointments = self.appointments.lock();
        instead_of.map(|later| appointments.remove(&(later, epoch)));
        let is_first = appointments.keys().next().is_none_or(|(first, _)| at < *first);
        appointments.insert((at, epoch), host);
        drop(appointments);
        if is_first {
            self.sooner.notify_one();
        }
    }

    /// The host needs not be woken any more.
    pub fn forget(&self, at: Moment, epoch: u64) {
        self.appointments.lock().remove(&(at, epoch));
    }

    /// Ends when whoever keeps the appointments has come by. One who asks that waits for the answer; so there are few.
    pub async fn answer(&self) {
        let (question, answer) = oneshot::channel();
        self.questions.lock().push(question);
        self.sooner.notify_one();
        // It comes, or nobody keeps appointments any more.
        let _ = answer.await;
    }

    /// Keeps the appointments; never ends.
    pub async fn run(self: Arc<Agenda>, clock: Clock) {
        loop {
            for question in mem::take(&mut *self.questions.lock()) {
                let _ = question.send(());
            }
            let next = self.appointments.lock().keys().next().map(|(at, _)| *at);
            match next {
                None => self.sooner.notified().await,
                Some(at) if at > clock.now() => {
                    tokio::select! {
                        () = clock.sleep_until(at) => {}
                        () = self.sooner.notified() => {}
                    }
                }
                Some(_) => {
                    self.wake_one(clock.now());
                    // Many may be due at once: others get their turn between them.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Wakes the first host whose appointment has come; false: there is none.
    pub fn wake_one(&self, now: Moment) -> bool {
        let mut appointments = self.appointments.lock();
        let Some(first) = appointments.first_entry().filter(|first| first.key().0 <= now) else { return false };
        let host = first.remove().upgrade();
        drop(appointments);
        if let Some(host) = host {
            host.wake();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn nobody_is_answered_unless_appointments_are_kept() {
        let agenda = Arc::new(Agenda::default());
        let mut answer = Box::pin(agenda.answer());
        assert!(answer.as_mut().now_or_never().is_none());
        tokio::select! {
            () = agenda.clone().run(Clock::start()) => unreachable!("it never ends"),
            () = answer => {}
        }
    }
}
