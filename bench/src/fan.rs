//! Publish and subscribe: one publisher, many subscribers, each in a thread with a connection of its own.

use crate::peer::Outcome;
use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

/// One thread's connection.
pub trait Publisher: Send {
    /// Publishes this many messages, in batches.
    fn publish(&mut self, messages: usize) -> Outcome;
}

/// One thread's connection, which is subscribed already.
pub trait Subscriber: Send {
    /// Returns when this many messages have come.
    fn follow(&mut self, messages: usize) -> Outcome;
}

/// How long a subscriber waits for a single message before it says that one got lost.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// From the first publish until the last subscriber has all messages.
pub fn drive(messages: u64, mut publisher: Box<dyn Publisher>, subscribers: Vec<Box<dyn Subscriber>>) -> Outcome<Duration> {
    let messages = messages as usize;
    let barrier = Barrier::new(subscribers.len() + 1);
    let barrier = &barrier;
    thread::scope(|scope| {
        let follow = |mut subscriber: Box<dyn Subscriber>| {
            scope.spawn(move || {
                barrier.wait();
                subscriber.follow(messages).map(|()| Instant::now())
            })
        };
        let followers: Vec<_> = subscribers.into_iter().map(follow).collect();
        barrier.wait();
        let start = Instant::now();
        publisher.publish(messages)?;
        let mut last = start;
        for follower in followers {
            last = last.max(follower.join().expect("a subscriber does not panic")?);
        }
        Ok(last - start)
    })
}
