//! The memory engine: a log in this process. It survives nothing and acknowledges at once.

use super::{AppendError, Log, LogLimits, Position, ReadError, Survives};
use bytes::Bytes;
use futures_util::future::{self, BoxFuture, FutureExt};
use parking_lot::Mutex;
use std::collections::VecDeque;

/// A log in memory.
#[derive(Default)]
pub struct MemoryLog {
    /// Short sections, never across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Position of the last record that was forgotten.
    forgotten: Position,
    records: VecDeque<Bytes>,
}

impl State {
    fn tail(&self) -> Position {
        self.forgotten + self.records.len() as Position
    }

    fn append(&mut self, expect: Position, record: Bytes) -> Result<Position, AppendError> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes: record.len(), limit: RECORD_BYTES_MAX });
        }
        // The same record at the same place again: the first acknowledgement was lost on the way.
        if expect < self.tail() && expect >= self.forgotten {
            let at = (expect - self.forgotten) as usize;
            if self.records[at] == record {
                return Ok(expect + 1);
            }
        }
        if expect != self.tail() {
            return Err(AppendError::Conflict { expect });
        }
        self.records.push_back(record);
        Ok(self.tail())
    }

    fn read(&self, after: Position, limit: usize) -> Result<Vec<(Position, Bytes)>, ReadError> {
        if after < self.forgotten {
            return Err(ReadError::Gap { after, first: self.forgotten + 1 });
        }
        let skip = (after - self.forgotten) as usize;
        Ok((after + 1..).zip(self.records.iter().skip(skip).take(limit).cloned()).collect())
    }
}

/// As large as the largest batch of payloads that one frame can bring, with room for what is around them.
const RECORD_BYTES_MAX: usize = 64 << 20;

impl Log for MemoryLog {
    fn limits(&self) -> LogLimits {
        LogLimits { record_bytes_max: RECORD_BYTES_MAX, in_flight_max: 16, survives: Survives::Nothing }
    }

    fn first(&self) -> BoxFuture<'static, Result<Position, ReadError>> {
        future::ready(Ok(self.state.lock().forgotten + 1)).boxed()
    }

    fn tail(&self) -> BoxFuture<'static, Result<Position, ReadError>> {
        future::ready(Ok(self.state.lock().tail())).boxed()
    }

    fn append(&self, expect: Position, record: Bytes) -> BoxFuture<'static, Result<Position, AppendError>> {
        future::ready(self.state.lock().append(expect, record)).boxed()
    }

    fn read(&self, after: Position, limit: usize) -> BoxFuture<'static, Result<Vec<(Position, Bytes)>, ReadError>> {
        future::ready(self.state.lock().read(after, limit)).boxed()
    }

    fn truncate(&self, upto: Position) -> BoxFuture<'static, Result<(), ReadError>> {
        let mut state = self.state.lock();
        let count = upto.min(state.tail()).saturating_sub(state.forgotten);
        state.records.drain(..count as usize);
        state.forgotten += count;
        future::ready(Ok(())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::conformance;
    use std::sync::Arc;

    #[tokio::test]
    async fn passes_the_conformance_suite() {
        conformance::suite(|| Arc::new(MemoryLog::default())).await;
    }
}
