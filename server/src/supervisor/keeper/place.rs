//! What the mechanics ask of who keeps a process, and tell: commands and log files for its places, and what happens there.

use super::directory;
use crate::supervisor::{
    environment::{self, Seat},
    family::Family,
    ledger::Ledger,
    notify::NotifySocket,
};
use bursar_supervisor::{
    Host, Notice, Program,
    output::{LogFile, Rotation},
    plan::Run,
};
use std::{collections::HashMap, path::PathBuf, sync::Arc};

/// What the mechanics ask, and tell.
pub struct Place {
    ledger: Arc<Ledger>,
    /// Workers may share one.
    logs: HashMap<PathBuf, Arc<LogFile>>,
}

impl Place {
    pub fn new(ledger: Arc<Ledger>) -> Place {
        Place { ledger, logs: HashMap::new() }
    }
}

impl Host for Place {
    fn program(&mut self, worker: u32, run: Run) -> Result<Program, String> {
        let Ledger { world, .. } = &*self.ledger;
        let spec = self.ledger.look(|facts| facts.spec.clone());
        let notify = NotifySocket::bind(world.directory.path());
        let notify = notify.map_err(|error| format!("it could not say how it is: {error}"))?;
        let seat = Seat { worker, notify: Some(notify.path()) };
        let program = environment::worker(&spec, &world.connection, &seat)?;
        if let Some(user) = program.user {
            notify.give_to(user).map_err(|error| format!("it could not say how it is: {error}"))?;
        }
        let number = world.family.begin(&self.ledger.name, worker);
        self.ledger.begin(worker, run, number, program.clone(), Some(notify));
        let mut program = program;
        program.marks.push(Family::mark(number));
        Ok(program)
    }

    fn log(&mut self, worker: u32) -> Option<Arc<LogFile>> {
        let spec = self.ledger.look(|facts| facts.spec.clone());
        let log = spec.log.as_ref()?;
        let path = directory(&spec).join(log.path.replace("{worker}", &worker.to_string()));
        let file = match self.logs.get(&path) {
            Some(file) => file.clone(),
            None => match LogFile::open(&path, Rotation { bytes: log.bytes, kept: log.kept }) {
                Ok(file) => Arc::new(file),
                Err(error) => {
                    tracing::warn!(process = spec.name, worker, path = %path.display(), %error, "there is no log file");
                    return None;
                }
            },
        };
        self.logs.insert(path, file.clone());
        self.ledger.write(|facts| facts.places.entry(worker).or_default().log = Some(file.clone()));
        Some(file)
    }

    fn ask(&mut self, run: Run) {
        self.ledger.write(|facts| facts.asks.push(run));
    }

    fn notice(&mut self, notice: Notice) {
        self.ledger.notice(notice);
    }
}
