//! What workers write, as lines: of any number of outputs at once, each in its own order, and of who comes later, too.

use super::Shared;
use bursar::processes::{Line, Source};
use bursar_supervisor::output::{Output, Piece};
use futures_util::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{FuturesUnordered, Stream, unfold},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};
use tokio::sync::watch;

/// What is longer comes in several lines.
const LINE_BYTES_MAX: usize = 64 << 10;

/// One output of one worker.
#[derive(Clone)]
pub struct Origin {
    pub process: String,
    pub worker: u32,
    pub source: Source,
    pub output: Arc<Output>,
}

/// The lines that there are, the last few of each output; and what comes.
pub fn read(supervisor: Weak<Shared>, names: Vec<String>, tail: u32, follow: bool) -> impl Stream<Item = Line> + Send {
    let mut reading = Reading { supervisor, names, known: Vec::new(), waiting: FuturesUnordered::new(), lines: VecDeque::new() };
    let outputs = reading.find_new(Some(tail));
    let reading = Some((reading, outputs.filter(|_| follow)));
    unfold(reading, async |reading| {
        let (mut reading, mut outputs) = reading?;
        loop {
            if let Some(line) = reading.lines.pop_front() {
                return Some((line, Some((reading, outputs))));
            }
            reading.go_on(outputs.as_mut()?).await?;
        }
    })
}

struct Reading {
    supervisor: Weak<Shared>,
    names: Vec<String>,
    known: Vec<Follower>,
    /// What comes next, each with the place of its follower.
    waiting: FuturesUnordered<BoxFuture<'static, (usize, Option<Piece>)>>,
    lines: VecDeque<Line>,
}

/// Where one output is read.
struct Follower {
    origin: Origin,
    /// Behind the last end of a line.
    rest: Vec<u8>,
    missed: u64,
}

impl Reading {
    /// Outputs that were not there before; says when there may be others. `tail`: only the last lines of what they have.
    fn find_new(&mut self, tail: Option<u32>) -> Option<watch::Receiver<u64>> {
        let supervisor = self.supervisor.upgrade()?;
        let outputs = supervisor.outputs.subscribe();
        for origin in supervisor.origins(&self.names) {
            if self.known.iter().any(|known| Arc::ptr_eq(&known.origin.output, &origin.output)) {
                continue;
            }
            let piece = origin.output.since(0);
            let next = piece.next;
            let mut follower = Follower { origin, rest: Vec::new(), missed: 0 };
            let mut lines = follower.take(piece.bytes);
            if let Some(tail) = tail {
                lines.drain(..lines.len().saturating_sub(tail as usize));
            }
            self.lines.extend(lines);
            self.wait_for(self.known.len(), &follower.origin.output, next);
            self.known.push(follower);
        }
        Some(outputs)
    }

    fn wait_for(&mut self, at: usize, output: &Arc<Output>, next: u64) {
        let output = output.clone();
        self.waiting.push(async move { (at, output.follow(next).await) }.boxed());
    }

    /// Waits for what comes next; none: nobody keeps anything any more.
    async fn go_on(&mut self, outputs: &mut watch::Receiver<u64>) -> Option<()> {
        let history = self.supervisor.upgrade()?.world.history.clone();
        tokio::select! {
            biased;
            Some((at, piece)) = self.waiting.next() => self.take(at, piece),
            changed = outputs.changed() => {
                changed.ok()?;
                self.find_new(None)?;
            }
            () = history.ended() => return None,
        }
        Some(())
    }

    fn take(&mut self, at: usize, piece: Option<Piece>) {
        let follower = &mut self.known[at];
        let Some(Piece { missed, bytes, next }) = piece else {
            let rest = std::mem::take(&mut follower.rest);
            if !rest.is_empty() {
                self.lines.push_back(follower.line(&rest));
            }
            return;
        };
        if missed > 0 {
            // What is left of a line that was not read to its end is no line.
            follower.missed += missed + follower.rest.len() as u64;
            follower.rest.clear();
        }
        let lines = follower.take(bytes);
        let output = follower.origin.output.clone();
        self.lines.extend(lines);
        self.wait_for(at, &output, next);
    }
}

impl Follower {
    /// The lines that are whole now.
    fn take(&mut self, bytes: Vec<u8>) -> Vec<Line> {
        self.rest.extend(bytes);
        let all = std::mem::take(&mut self.rest);
        let (mut lines, mut from) = (Vec::new(), 0);
        loop {
            let window = &all[from..all.len().min(from + LINE_BYTES_MAX)];
            match window.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    lines.push(self.line(&window[..end]));
                    from += end + 1;
                }
                None if window.len() == LINE_BYTES_MAX => {
                    lines.push(self.line(window));
                    from += window.len();
                }
                None => break,
            }
        }
        self.rest = all[from..].to_vec();
        lines
    }

    fn line(&mut self, bytes: &[u8]) -> Line {
        let Origin { process, worker, source, output: _ } = self.origin.clone();
        let text = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes)).into_owned();
        Line { process, worker, source, text, missed_bytes: std::mem::take(&mut self.missed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_lines_wherever_they_are_cut() {
        let origin = Origin { process: "web".into(), worker: 1, source: Source::Stderr, output: Arc::new(Output::new(10)) };
        let mut follower = Follower { origin, rest: Vec::new(), missed: 7 };
        let mut take = |bytes: &[u8]| {
            let lines = follower.take(bytes.to_vec());
            lines.into_iter().map(|line| (line.text, line.missed_bytes)).collect::<Vec<_>>()
        };
        assert_eq!(take(b"one\ntw"), [("one".to_owned(), 7)]);
        assert_eq!(take(b"o\r\n\nthr\xff"), [("two".to_owned(), 0), (String::new(), 0)]);
        assert_eq!(take(b"ee\n"), [("thr\u{fffd}ee".to_owned(), 0)]);
        let long = take(&vec![b'x'; LINE_BYTES_MAX + 1]);
        assert_eq!(long.iter().map(|(text, _)| text.len()).collect::<Vec<_>>(), [LINE_BYTES_MAX]);
        assert_eq!(take(b"\n"), [("x".to_owned(), 0)]);
    }
}
