//! A receiver at the broker: what it was given, and what it is done with.
//!
//! ```text
//!   fetched ──► given ──(the next one is asked for, or `done`)──► finished ──(told with the next fetch, or on leaving)──► gone
//!                 └── its program dies, or panics ───► the successor's, marked as redelivered
//! ```

use super::{
    line::{Fetched, Line},
    received::Origin,
};
use crate::{Result, Wait};
use parking_lot::Mutex;
use std::{
    sync::{Arc, Weak},
    thread,
};

/// Detached when it is dropped, in the background.
#[derive(Debug)]
pub(crate) struct Seat {
    origin: Arc<Origin>,
    id: u64,
    /// Whether the broker keeps a message until it is done with: not that of a subscription on its own.
    settles: bool,
    /// Never locked across an await.
    hand: Mutex<Hand>,
}

#[derive(Debug, Default)]
struct Hand {
    /// Positions that the program has.
    given: Vec<u64>,
    /// Positions that it is done with, and the broker was not told, or did not say that it has heard it.
    finished: Vec<u64>,
}

impl Seat {
    pub fn new(line: Line, id: u64, settles: bool) -> Arc<Seat> {
        let new = |seat: &Weak<Seat>| Arc::new(Origin { line, seat: seat.clone() });
        Arc::new_cyclic(|seat| Seat { origin: new(seat), id, settles, hand: Mutex::default() })
    }

    pub fn line(&self) -> &Line {
        &self.origin.line
    }

    /// Of what is received here.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    /// The program gets a message.
    pub fn give(&self, position: u64) {
        if self.settles {
            self.line().handle().manager().session().hold();
            self.hand.lock().given.push(position);
        }
    }

    /// The program is done with what it has.
    pub fn finish(&self) {
        if !self.settles {
            return;
        }
        let mut hand = self.hand.lock();
        let Hand { given, finished } = &mut *hand;
        given.iter().for_each(|_| self.line().handle().manager().session().let_go());
        finished.append(given);
    }

    /// The program drops its receiver: in order, unless it panics.
    pub fn finish_in_order(&self) {
        if !thread::panicking() {
            self.finish();
        }
    }

    /// Waits for messages, and tells what is finished. Dropping the future takes back what would have been given; it is told again.
    pub async fn fetch(&self, wait: Wait, max: u32) -> Result<Fetched> {
        let told = self.hand.lock().finished.clone();
        let count = told.len();
        let outcome = self.line().fetch(self.id, wait, max, told).await;
        // A refusal to give something has been told too.
        if outcome.as_ref().map_or_else(|error| error.fault().is_some(), |_| true) {
            self.hand.lock().finished.drain(..count);
        }
        outcome
    }

    /// Tells that one is finished, and waits for the broker's word. Nothing happens if it was told already.
    pub async fn done(&self, position: u64) -> Result<()> {
        if !self.is_given(position) {
            return Ok(());
        }
        self.line().done(self.id, vec![position]).await?;
        let mut hand = self.hand.lock();
        let before = hand.given.len();
        hand.given.retain(|given| *given != position);
        if hand.given.len() < before {
            self.line().handle().manager().session().let_go();
        }
        Ok(())
    }

    fn is_given(&self, position: u64) -> bool {
        self.hand.lock().given.contains(&position)
    }

    /// Tells at once what is finished.
    pub fn tell_finished(&self) {
        let positions = std::mem::take(&mut self.hand.lock().finished);
        if !positions.is_empty() {
            self.line().tell_done(self.id, positions);
        }
    }
}

impl Drop for Seat {
    /// What the program still has and has not finished is the successor's.
    fn drop(&mut self) {
        let Hand { given, finished } = std::mem::take(self.hand.get_mut());
        self.line().leave(self.id, finished);
        given.iter().for_each(|_| self.line().handle().manager().session().let_go());
    }
}
