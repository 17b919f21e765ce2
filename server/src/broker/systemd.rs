//! What a service manager is told: that the broker is up, that it lives, that it stops. Only a broker that is its program's whole purpose
//! says so, and only if `NOTIFY_SOCKET` says to whom; systemd sets that for units with `Type=notify`.

use crate::{
    clock::Clock,
    lifecycle::{Context, Outcome, Service},
    objects::agenda::Agenda,
};
use bursar_proto::Address;
use sd_notify::NotifyState;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// The variables by which systemd speaks with its service. They are not for the processes that this starts: those would speak as if they
/// were it.
pub const VARIABLES: [&str; 6] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// How often a stop under way asks for more time, and for how much: enough for several that come late.
const EXTEND_EVERY: Duration = Duration::from_secs(5);
const EXTEND_BY: Duration = Duration::from_secs(30);

/// Tells the service manager. The first to start, the last to stop: while everything else stops, the manager is told that this goes on.
pub(super) struct Notifier {
    agenda: Arc<Agenda>,
    clock: Clock,
    /// The broker stops.
    is_stopping: CancellationToken,
}

impl Notifier {
    pub fn new(agenda: Arc<Agenda>, clock: Clock) -> Arc<Notifier> {
        Arc::new(Notifier { agenda, clock, is_stopping: CancellationToken::new() })
    }

    /// Everything is up.
    pub fn ready(&self, addresses: &[Address]) {
        let addresses: Vec<String> = addresses.iter().map(Address::to_string).collect();
        tell(&[NotifyState::Ready, NotifyState::Status(&format!("listening on {}", addresses.join(", ")))]);
    }

    /// The broker begins to stop.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("stopping"), extended()]);
        self.is_stopping.cancel();
    }

    /// Not before the agenda has answered: where it hangs, whoever waits hangs, and the manager is to see it.
    async fn live(&self, every: Duration) -> Outcome {
        loop {
            self.agenda.answer().await;
            tell(&[NotifyState::Watchdog]);
            self.clock.sleep(every).await;
        }
    }

    async fn extend(&self) -> Outcome {
        self.is_stopping.cancelled().await;
        loop {
            self.clock.sleep(EXTEND_EVERY).await;
            tell(&[extended()]);
        }
    }
}

impl Service for Notifier {
    fn name(&self) -> String {
        "systemd".into()
    }

    async fn start(self: Arc<Self>, context: Context) -> Outcome {
        if let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) {
            let notifier = self.clone();
            context.add_task("watchdog", async move { notifier.live(limit / 2).await });
        }
        context.add_task("extension", async move { self.extend().await });
        Ok(())
    }
}

fn extended() -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(EXTEND_BY.as_micros() as u32)
}

/// Nothing depends on it but the manager itself, which will act on its silence.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
