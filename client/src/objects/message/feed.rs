//! One message after the other from a receiver: who asks for the next one is done with the one before.

use super::{
    Deadline, Delivered,
    line::{Fetched, Line},
    seat::Seat,
};
use crate::{Error, Result, Wait};
use std::{mem, sync::Arc};

/// Holds at most what one fetch gave.
#[derive(Debug)]
pub(crate) struct Feed {
    seat: Arc<Seat>,
    /// How many one fetch asks for.
    batch: u32,
    fetched: Fetched,
    /// Stands in front of those, behind what is missing before it.
    next: Option<Delivered>,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Item {
    Message(Delivered),
    /// This many were dropped in this place.
    Missed(u64),
}

impl Feed {
    pub fn new(line: Line, id: u64, settles: bool, batch: u32) -> Feed {
        Feed { seat: Seat::new(line, id, settles), batch, fetched: Fetched::nothing(), next: None }
    }

    pub fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }

    /// Whether everything that was fetched was handed out.
    pub fn is_drained(&self) -> bool {
        self.next.is_none() && self.fetched.len() == 0 && self.fetched.missed == 0
    }

    /// What was fetched before, if anything is left of it.
    pub fn next_ready(&mut self) -> Option<Result<Item>> {
        self.seat.finish();
        self.take()
    }

    /// Dropping the future loses nothing.
    pub async fn next(&mut self, wait: Wait) -> Result<Item> {
        self.seat.finish();
        if self.is_drained() {
            self.fetch(wait, self.batch).await?;
        }
        self.take().unwrap_or_else(|| Err(self.nothing()))
    }

    /// As [`Feed::next`] without what is missing.
    pub async fn next_message(&mut self, deadline: Deadline) -> Result<Delivered> {
        loop {
            if let Item::Message(delivered) = self.next(deadline.left()).await? {
                return Ok(delivered);
            }
        }
    }

    /// All that is there, up to `max`; waits only for the first.
    pub async fn next_many(&mut self, wait: Wait, max: u32) -> Result<Vec<Delivered>> {
        self.seat.finish();
        if self.is_drained() {
            self.fetch(wait, max).await?;
        }
        let mut messages = Vec::with_capacity(self.fetched.len().min(max as usize));
        while messages.len() < max as usize
            && let Some(item) = self.take()
        {
            if let Item::Message(delivered) = item? {
                messages.push(delivered);
            }
        }
        Ok(messages)
    }

    /// What comes next of what was fetched. What is missed is told before the message that it was missed before.
    fn take(&mut self) -> Option<Result<Item>> {
        let mut delivered = match self.next.take().map(Ok).or_else(|| self.fetched.next()) {
            Some(Ok(delivered)) => delivered,
            Some(Err(error)) => return Some(Err(error)),
            None if self.fetched.missed > 0 => return Some(Ok(Item::Missed(mem::take(&mut self.fetched.missed)))),
            None => return None,
        };
        if delivered.missed > 0 {
            let missed = mem::take(&mut delivered.missed);
            self.next = Some(delivered);
            return Some(Ok(Item::Missed(missed)));
        }
        self.seat.give(delivered.position);
        Some(Ok(Item::Message(delivered)))
    }

    async fn fetch(&mut self, wait: Wait, max: u32) -> Result<()> {
        self.fetched = self.seat.fetch(wait, max).await?;
        if self.is_drained() { Err(self.nothing()) } else { Ok(()) }
    }

    fn nothing(&self) -> Error {
        Error::protocol(format!("{}: nothing in the reply", self.seat.line().call_name()))
    }
}
