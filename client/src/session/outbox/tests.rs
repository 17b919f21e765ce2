//! The outbox, without a runtime: what is said when, and what is kept for how long.

use super::*;
use bursar_memory::SideSocket;
use bursar_proto::limits;
use bursar_proto::v1::client_entry::Entry;
use prost::Message;

struct Sender {
    outbox: Outbox,
    receivers: Vec<(u64, oneshot::Receiver<Reply>)>,
}

/// What a frame says, as text: `call 1`, `cancel 1`, `part 1 (3 of 9)`, ...
fn read(frame: &ClientFrame) -> Vec<String> {
    let entry = |bytes: &Bytes| {
        let entry = v1::ClientEntry::decode(bytes.clone()).unwrap();
        match entry.entry.unwrap() {
            Entry::Open(_) => "open".to_owned(),
            Entry::Call(_) => format!("call {}", entry.sequence),
            Entry::Cancel(cancel) => format!("cancel {}", cancel.sequence),
            Entry::Beat(beat) => format!("beat {}", beat.number),
            Entry::Close(_) => "close".to_owned(),
            Entry::MappedCall(_) => format!("mapped call {}", entry.sequence),
            Entry::Part(part) => format!("part {} ({} of {})", part.id, part.data.len(), part.total),
        }
    };
    frame.entries.iter().map(entry).collect()
}

fn call(payload: usize) -> Unsent {
    let item = v1::queue::Item { data: vec![7; payload].into(), ..Default::default() };
    let put = v1::queue::PutRequest { items: vec![item], ..Default::default() };
    let verb = Some(v1::queue::command::Verb::Put(put));
    Unsent::new(&v1::Call { command: Some(v1::call::Command::Queue(v1::queue::Command { verb })) })
}

fn spoken(ranges: &[v1::Range]) -> Vec<(u64, u64)> {
    ranges.iter().map(|range| (range.first, range.count)).collect()
}

impl Sender {
    fn connected() -> Sender {
        let mut sender = Sender { outbox: Outbox::new(), receivers: Vec::new() };
        sender.connect();
        sender
    }

    fn connect(&mut self) -> Vec<(u64, u64)> {
        let (_, unheard) = self.outbox.begin();
        self.outbox.opened(Limits::default());
        spoken(&unheard)
    }

    fn send(&mut self, payload: usize) -> u64 {
        let (sender, receiver) = oneshot::channel();
        let sequence = self.outbox.send(call(payload), Some(sender)).unwrap();
        self.receivers.push((sequence, receiver));
        sequence
    }

    fn send_many(&mut self, calls: usize, payload: usize) {
        for _ in 0..calls {
            self.send(payload);
        }
    }

    fn frame(&mut self) -> ClientFrame {
        let generation = self.outbox.generation;
        self.outbox.next_frame(generation).unwrap().unwrap_or_default()
    }

    fn said(&mut self) -> Vec<String> {
        read(&self.frame())
    }

    fn answer(&mut self, sequence: u64) {
        let answer = Bytes::from_static(b"answer");
        if let Some(sender) = self.outbox.answer(sequence, answer.len()) {
            sender.send(Ok(answer.into())).unwrap();
        }
    }
}

#[test]
fn what_is_ready_goes_into_one_frame_and_heard_answers_go_along() {
    let mut sender = Sender::connected();
    sender.send_many(3, 1);
    assert_eq!(sender.said(), ["call 1", "call 2", "call 3"]);
    for sequence in [1, 3, 2] {
        sender.answer(sequence);
    }
    sender.outbox.heard(1);
    sender.outbox.heard(2);
    assert_eq!(sender.frame(), ClientFrame::default(), "heard answers alone are no reason for a frame");
    sender.outbox.beat(Instant::now());
    let frame = sender.frame();
    assert_eq!((read(&frame), spoken(&frame.heard)), (vec!["beat 1".to_owned()], vec![(1, 2)]));
    assert_eq!(sender.connect(), [(3, 1)], "what its caller has not taken is not heard");
}

#[test]
fn many_heard_answers_are_a_reason_for_a_frame() {
    let mut sender = Sender::connected();
    let calls = HEARD_MAX as u64;
    sender.send_many(HEARD_MAX, 1);
    sender.frame();
    for sequence in 1..=calls {
        sender.answer(sequence);
        sender.outbox.heard(sequence);
    }
    assert_eq!(spoken(&sender.frame().heard), [(1, calls)]);
}

#[test]
fn a_frame_has_bounds() {
    let mut sender = Sender::connected();
    sender.send_many(limits::FRAME_ENTRIES_MAX + 1, 1);
    assert_eq!([sender.said().len(), sender.said().len()], [limits::FRAME_ENTRIES_MAX, 1]);
    sender.send_many(3, limits::FRAME_BYTES_MAX / 2);
    assert_eq!([sender.said().len(), sender.said().len(), sender.said().len()], [1, 1, 1], "two are above the bytes");
}

/// Calls that are too large for a frame; the first was shared on this connection, and nothing of it arrived before the next one.
#[test]
fn a_shared_call_leaves_in_one_frame_on_its_connection_and_in_parts_on_the_next() {
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let (here, there) = (SideSocket::new(here).unwrap(), SideSocket::new(there).unwrap());
    let mut sender = Sender::connected();
    let large = || call(2 * limits::FRAME_BYTES_MAX);
    let shared = large().share(&here, sender.outbox.generation());
    sender.outbox.send(shared, None).unwrap();
    sender.send(1);
    let frame = sender.frame();
    assert_eq!(read(&frame), ["mapped call 1", "call 2"]);
    let Some(Entry::MappedCall(mapped)) = v1::ClientEntry::decode(frame.entries[0].clone()).unwrap().entry else { panic!() };
    let arrived = there.gather(mapped.into(), u64::MAX).unwrap();
    let Unsent::Large { call, .. } = large() else { panic!("it is too large for a frame") };
    assert_eq!(arrived.flat(), call.flat());

    sender.connect();
    assert_eq!(
        sender.said(),
        [format!("part 1 ({} of {})", limits::FRAME_BYTES_MAX, sender.outbox.calls[&1].entry.whole().len())]
    );
}

#[test]
fn a_large_call_travels_in_parts_which_beats_overtake_and_calls_do_not() {
    let mut sender = Sender::connected();
    let large = sender.send(limits::FRAME_BYTES_MAX + 10);
    let small = sender.send(1);
    let total = sender.outbox.calls[&large].entry.whole().len();
    assert_eq!(sender.said(), [format!("part 1 ({} of {total})", limits::FRAME_BYTES_MAX)]);
    sender.outbox.beat(Instant::now());
    let rest = total - limits::FRAME_BYTES_MAX;
    assert_eq!(sender.said(), ["beat 1".to_owned(), format!("part 1 ({rest} of {total})"), format!("call {small}")]);
}

#[test]
fn a_large_call_that_is_cancelled_half_way_is_sent_whole_and_cancelled_behind() {
    let mut sender = Sender::connected();
    let large = sender.send(limits::FRAME_BYTES_MAX + 10);
    sender.frame();
    sender.outbox.cancel(large);
    assert!(sender.said()[0].starts_with("part 1"));
    assert_eq!(sender.said(), ["cancel 1"]);
}

#[test]
fn a_resumed_session_sends_again_what_is_unanswered_and_nothing_else() {
    let mut sender = Sender::connected();
    sender.send_many(4, 1);
    sender.frame();
    let late = sender.send(1);
    sender.answer(2);
    sender.answer(3);
    sender.outbox.heard(3);
    sender.outbox.cancel(4);
    let earlier = sender.outbox.generation;
    assert_eq!(sender.connect(), [(1, 2), (4, 1)]);
    assert!(sender.outbox.next_frame(earlier).is_err(), "the earlier connection's stream is over");
    assert_eq!(sender.said(), ["cancel 4".to_owned(), "call 1".to_owned(), format!("call {late}")]);
}

/// The broker answered a call as soon as the session was resumed, before it was sent again. What is kept of it is empty by then, and was
/// sent all the same: an entry that no broker knows, which ended the session.
#[test]
fn a_call_that_is_answered_before_it_is_sent_again_is_not_sent_again() {
    let mut sender = Sender::connected();
    sender.send_many(2, 1);
    sender.frame();
    sender.connect();
    sender.answer(1);
    assert_eq!(sender.said(), ["call 2"]);
}

#[test]
fn calls_wait_for_the_answer_to_the_open() {
    let mut sender = Sender { outbox: Outbox::new(), receivers: Vec::new() };
    sender.send(1);
    sender.outbox.begin();
    sender.outbox.push_open(v1::Open::default());
    assert_eq!(sender.said(), ["open"]);
    assert_eq!(sender.frame(), ClientFrame::default());
    sender.outbox.opened(Limits::default());
    assert_eq!(sender.said(), ["call 1"]);
}

#[test]
fn a_call_that_was_never_sent_is_cancelled_without_a_word() {
    let mut sender = Sender::connected();
    let (one, two) = (sender.send(1), sender.send(1));
    sender.outbox.cancel(one);
    assert_eq!(sender.said(), [format!("call {two}")]);
    assert!(sender.outbox.cancelled.is_empty());
}

/// The broker takes a lease back when it learns of the Cancel. Said to be heard too early, the answer would be forgotten, and
/// the lease kept until the session ends.
#[test]
fn a_cancelled_call_is_heard_only_behind_a_beat_that_followed_the_cancel() {
    let mut sender = Sender::connected();
    let (crossed, answered) = (sender.send(1), sender.send(1));
    sender.frame();
    sender.outbox.beat(Instant::now());
    sender.answer(answered);
    sender.outbox.cancel(crossed);
    sender.outbox.cancel(answered);
    assert_eq!(sender.frame().heard, []);
    sender.answer(crossed);
    sender.outbox.beat_answered(1);
    assert_eq!(sender.outbox.heard, [0; 0], "that beat was sent before the cancels");
    sender.outbox.beat(Instant::now());
    sender.frame();
    sender.outbox.beat_answered(2);
    sender.outbox.beat(Instant::now());
    assert_eq!(spoken(&sender.frame().heard), [(1, 2)]);
    assert!(sender.outbox.cancelled.is_empty());
}

#[test]
fn in_flight_calls_are_bounded_and_the_rest_waits() {
    let mut sender = Sender::connected();
    sender.outbox.limits.in_flight_max = 2;
    sender.send_many(3, 1);
    assert_eq!(sender.said(), ["call 1", "call 2"]);
    assert_eq!(sender.frame(), ClientFrame::default());
    sender.answer(1);
    assert_eq!(sender.said(), ["call 3"]);
}

#[test]
fn a_close_goes_out_behind_all_calls_and_nothing_follows() {
    let mut sender = Sender::connected();
    sender.send(1);
    sender.outbox.close();
    assert_eq!(sender.said(), ["call 1", "close"]);
    assert!(sender.outbox.next_frame(sender.outbox.generation).is_err());
    assert!(sender.outbox.send(call(1), None).is_err());
}

#[test]
fn the_end_says_to_each_call_whether_it_may_have_happened() {
    let mut sender = Sender::connected();
    sender.send(1);
    sender.frame();
    sender.send(1);
    let told = sender.outbox.end(SessionEnded::new("test"));
    assert_eq!(told.iter().map(|(_, ended)| ended.may_have_happened).collect::<Vec<_>>(), [true, false]);
    let later = sender.outbox.send(call(1), None).unwrap_err();
    assert!(!later.may_have_happened);
}

#[test]
fn a_forgotten_call_is_sent_all_the_same_and_its_answer_is_heard_by_itself() {
    let mut sender = Sender::connected();
    let (unsent, answered) = (sender.send(1), sender.send(1));
    sender.outbox.forget(unsent);
    assert_eq!(sender.said(), ["call 1", "call 2"]);
    sender.answer(unsent);
    sender.answer(answered);
    sender.outbox.forget(answered);
    assert_eq!(spoken(&ranges(sender.outbox.heard.clone())), [(1, 2)]);
    assert!(sender.outbox.is_empty() && sender.outbox.cancelled.is_empty());
}
