//! Large values in shared memory: in memory once, however many read them; gone when nobody has them, whoever is killed; refused where
//! they could change; and in frames, without a word, where descriptors do not arrive.

use super::{
    measure::ms,
    wire::{Stream, Wire},
};
use crate::harness::{Broker, PATIENCE, eventually, figure};
use bursar::{
    BoxIo, Kv, Manager, Raw,
    blocking::block_on,
    proto::{
        Fault,
        v1::{self, client_entry},
    },
    topic::{Event, Overload},
};
use bursar_memory::{HELLO_BYTES, Hello, Sealed, greet, receive};
use rustix::net::{RecvFlags, SendFlags, recv};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::net::UnixListener;

/// As in the promise: a value of 100 MB.
const LARGE: usize = 100_000_000;
/// Larger than a frame.
const SHARED: usize = 1 << 20;
const KILLS: usize = 20;

/// The memory that a process has mapped, each once: by its inode.
fn memory_of(pid: u32) -> BTreeSet<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let shared = maps.lines().filter(|line| line.contains("/memfd:bursar"));
    shared.map(|line| line.split_whitespace().nth(4).unwrap().parse().unwrap()).collect()
}

fn descriptors_of(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

async fn connect(broker: &Broker, address: &str) -> (Manager, Kv<Raw>) {
    let manager = Manager::connect(address, broker.authkey()).await.unwrap();
    let store = manager.raw_kv("store").open_or_create().await.unwrap();
    (manager, store)
}

fn value(bytes: usize) -> Raw {
    // Different everywhere, so that what is mixed up is seen.
    (0..bytes.div_ceil(8) as u64).flat_map(u64::to_le_bytes).take(bytes).collect::<Vec<u8>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_value_is_in_memory_once_however_many_read_it_and_gone_when_nobody_has_it() {
    let broker = Broker::start();
    let (_writer, store) = connect(&broker, &broker.unix()).await;
    store.put("large", value(LARGE)).await.unwrap();
    let (_reader, read) = connect(&broker, &broker.unix()).await;
    let (_other, also) = connect(&broker, &broker.unix()).await;
    let (one, two) = (read.get("large").await.unwrap().unwrap(), also.get("large").await.unwrap().unwrap());
    assert!(one == value(LARGE) && one == two);
    let (here, there) = (memory_of(std::process::id()), memory_of(broker.pid()));
    assert_eq!(there.len(), 1, "the broker has it once");
    assert!(here.is_superset(&there), "and these readers have the same");

    store.put("again", one).await.unwrap();
    assert_eq!(memory_of(broker.pid()), there, "what was read is passed on as it is");
    drop(two);
    store.delete("large").await.unwrap();
    store.delete("again").await.unwrap();
    // Answers are kept until the client has said that it has them.
    eventually("nothing is left in the broker", || memory_of(broker.pid()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_is_in_memory_once_for_all_who_get_it() {
    let broker = Broker::start();
    let connect = || async { Manager::connect(broker.unix(), broker.authkey()).await.unwrap() };
    let (speaker, one, two) = (connect().await, connect().await, connect().await);
    let news = speaker.raw_topic("news").overload(Overload::Block).create().await.unwrap();
    let follow = async |manager: &Manager| manager.raw_topic("news").open().await.unwrap().subscribe().start().await.unwrap();
    let mut followers = [follow(&one).await, follow(&two).await];
    news.publish("large", value(4 * SHARED)).await.unwrap();
    let mut came = vec![];
    for follower in &mut followers {
        let Event::Message(message) = follower.next_within(PATIENCE).await.unwrap() else { panic!("nothing was missed") };
        assert_eq!(message.value(), &value(4 * SHARED));
        came.push(message);
    }
    let (here, there) = (memory_of(std::process::id()), memory_of(broker.pid()));
    assert_eq!(there.len(), 1);
    assert!(here.is_superset(&there));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_cannot_share_memory_gets_the_same_bytes_in_frames() {
    let broker = Broker::start();
    let (_local, store) = connect(&broker, &broker.unix()).await;
    store.put("from a process of this host", value(20 * SHARED)).await.unwrap();
    let (_remote, remote) = connect(&broker, broker.tcp()).await;
    assert_eq!(remote.get("from a process of this host").await.unwrap(), Some(value(20 * SHARED)));
    remote.put("from elsewhere", value(20 * SHARED)).await.unwrap();
    assert_eq!(store.get("from elsewhere").await.unwrap(), Some(value(20 * SHARED)));
    assert_eq!(memory_of(broker.pid()).len(), 1);
}

/// Somebody forwards the bytes of the socket, and descriptors get lost: the greeting finds it out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_loses_descriptors_carries_everything_in_frames() {
    let broker = Broker::start();
    let path = broker.directory().join("forwarded.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let socket = broker.socket();
    let forwarding = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = tokio::net::UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let (_manager, store) = connect(&broker, &format!("unix://{}", path.display())).await;
    store.put("key", value(3 * SHARED)).await.unwrap();
    assert_eq!(store.get("key").await.unwrap(), Some(value(3 * SHARED)));
    assert!(memory_of(broker.pid()).is_empty());
    forwarding.abort();
}

/// Forwards the bytes of a socket, and the descriptors of greetings; those of memory get lost.
fn forward_greetings_only(listener: &std::os::unix::net::UnixListener, socket: &Path) {
    for client in listener.incoming().map_while(Result::ok) {
        let server = UnixStream::connect(socket).unwrap();
        std::thread::spawn(move || {
            let mut first = [0];
            let is_side = recv(&client, &mut first, RecvFlags::PEEK).is_ok_and(|_| Hello::begins_with(&first));
            if is_side {
                pass_on::<HELLO_BYTES>(&client, &server);
                pass_on::<8>(&server, &client);
            }
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
            let _ = std::io::copy(&mut &server, &mut &client);
            let _ = client.shutdown(std::net::Shutdown::Both);
        });
    }
}

/// A message with its descriptor.
fn pass_on<const N: usize>(from: &UnixStream, to: &UnixStream) {
    let mut came = None;
    eventually("a greeting", || {
        came = receive::<N>(from).unwrap();
        came.is_some()
    });
    let (message, descriptor) = came.unwrap();
    send(to, &message, descriptor.unwrap().as_fd());
}

fn send(to: &UnixStream, message: &[u8], descriptor: BorrowedFd<'_>) {
    let descriptors = [descriptor];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
    control.push(rustix::net::SendAncillaryMessage::ScmRights(&descriptors));
    rustix::net::sendmsg(to, &[std::io::IoSlice::new(message)], &mut control, SendFlags::empty()).unwrap();
}

/// The greetings pass, and what is shared then does not arrive. That costs a connection, and neither the session nor a call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_that_gets_lost_costs_a_connection_and_nothing_else() {
    let broker = Broker::start();
    let path = broker.directory().join("forwarded.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let socket = broker.socket();
    std::thread::spawn(move || forward_greetings_only(&listener, &socket));
    let forwarded = format!("unix://{}", path.display());

    let (writer, store) = connect(&broker, &forwarded).await;
    let held = writer.lock("held").open_or_create().await.unwrap().acquire().await.unwrap();
    store.put("key", value(3 * SHARED)).await.unwrap();
    assert_eq!(store.get("key").await.unwrap(), Some(value(3 * SHARED)));
    assert!(!held.is_lost(), "the session lives");

    // And where it is the answer that gets lost.
    let (_local, local) = connect(&broker, &broker.unix()).await;
    local.put("shared", value(3 * SHARED)).await.unwrap();
    let (reader, read) = connect(&broker, &forwarded).await;
    let held = reader.lock("other").open_or_create().await.unwrap().acquire().await.unwrap();
    assert_eq!(read.get("shared").await.unwrap(), Some(value(3 * SHARED)));
    assert!(!held.is_lost(), "the session lives");
}

/// No test: a process that writes large values and reads them, until it is killed. In every other process it has nothing to do.
#[test]
fn shares_until_it_is_killed() {
    let Ok(key) = std::env::var("BURSAR_ATTACKS_SHARES") else { return };
    block_on(async {
        let manager = Manager::builder().from_env().unwrap().connect().await.unwrap();
        let store: Kv<Raw> = manager.raw_kv("shared").open_or_create().await.unwrap();
        loop {
            store.put(&key, value(SHARED + fastrand::usize(..SHARED))).await.unwrap();
            assert!(store.get(&key).await.unwrap().is_some());
            println!("\nshared");
        }
    });
}

fn sharer(broker: &Broker, key: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "attacks::sharing::shares_until_it_is_killed", "--nocapture"])
        .env("BURSAR_ADDRESS", broker.unix())
        .env("BURSAR_AUTHKEY_FILE", broker.key_file())
        .env("BURSAR_ATTACKS_SHARES", key)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r04_nothing_leaks_when_processes_that_share_memory_are_killed() {
    let broker = Broker::start();
    let (manager, store) = connect(&broker, &broker.unix()).await;
    store.put("kept", value(SHARED)).await.unwrap();
    let (memory, descriptors) = (memory_of(broker.pid()), descriptors_of(broker.pid()));
    for kill in 0..KILLS {
        let mut sharers = [sharer(&broker, "one"), sharer(&broker, "two")];
        for sharer in &mut sharers {
            let lines = BufReader::new(sharer.stdout.as_mut().unwrap()).lines();
            let shared = lines.map_while(Result::ok).filter(|line| line == "shared").nth(kill % 5);
            assert!(shared.is_some(), "it shares");
            sharer.kill().unwrap();
            sharer.wait().unwrap();
        }
    }
    // A store remembers its last changes for those who watch it: it goes as a whole.
    manager.objects().delete("shared").await.unwrap();
    eventually("only what is kept is left", || memory_of(broker.pid()) == memory);
    eventually("no descriptor is left", || descriptors_of(broker.pid()) <= descriptors);
    assert_eq!(store.get("kept").await.unwrap(), Some(value(SHARED)));
    figure("R04", format!("{} processes killed that shared memory: nothing left of theirs", 2 * KILLS));
}

/// An authenticated client that speaks the protocol itself, and its side socket.
async fn raw_session(broker: &Broker) -> (Wire, Stream, Hello) {
    let wire = Wire::proven(broker).await;
    let stream = wire.new_session().await;
    let hello = Hello {
        session: stream.opened.session_id,
        epoch: stream.opened.epoch,
        token: stream.opened.token[..].try_into().unwrap(),
    };
    (wire, stream, hello)
}

fn greeted(broker: &Broker, hello: &Hello) -> UnixStream {
    let side = UnixStream::connect(broker.socket()).unwrap();
    greet(&side, hello, &Sealed::new(b"x").unwrap()).unwrap();
    side.set_read_timeout(Some(PATIENCE)).unwrap();
    side
}

fn call_in_memory(number: u64) -> client_entry::Entry {
    let piece = v1::Piece { piece: Some(v1::piece::Piece::Memory(number)) };
    client_entry::Entry::MappedCall(v1::Mapped { pieces: vec![piece] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_sealed_memory_ends_the_stream_and_nothing_else() {
    let broker = Broker::start();
    let (_manager, store) = connect(&broker, &broker.unix()).await;
    store.put("key", value(10)).await.unwrap();
    let unsealed = rustix::fs::memfd_create("unsealed", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&unsealed, SHARED as u64).unwrap();
    let (pipe, _) = std::io::pipe().unwrap();
    let file = fs::File::open("/dev/zero").unwrap();
    let cases = [
        ("is not sealed", Some(unsealed.as_fd())),
        ("is no memory", Some(pipe.as_fd())),
        ("is no memory", Some(file.as_fd())),
        ("was not handed over", None),
    ];
    for (problem, descriptor) in cases {
        let (_wire, mut stream, hello) = raw_session(&broker).await;
        let side = greeted(&broker, &hello);
        wait_for_welcome(&side);
        if let Some(descriptor) = descriptor {
            send(&side, &7u64.to_be_bytes(), descriptor);
        }
        stream.entry(1, call_in_memory(7));
        stream.end().await;
        let lost = |fault: &Fault| matches!(fault, Fault::MemoryLost { problem: actual } if actual.contains(problem));
        assert!(stream.ended.as_ref().is_some_and(lost), "{problem}: {:?}", stream.ended);
    }
    // Without a side socket at all.
    let (_wire, mut stream, _) = raw_session(&broker).await;
    stream.entry(1, call_in_memory(7));
    stream.end().await;
    assert!(matches!(stream.ended, Some(Fault::MemoryLost { .. })), "{:?}", stream.ended);
    assert_eq!(store.get("key").await.unwrap(), Some(value(10)));
}

fn wait_for_welcome(side: &UnixStream) {
    let mut descriptor = None;
    eventually("the broker greets back", || {
        descriptor = receive::<8>(side).unwrap().and_then(|(_, descriptor)| descriptor);
        descriptor.is_some()
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_opened_only_by_whoever_knows_the_token_and_shows_a_descriptor() {
    let broker = Broker::start();
    let (_wire, _stream, hello) = raw_session(&broker).await;
    let wrong = [Hello { token: [0; 16], ..hello }, Hello { session: hello.session + 1, ..hello }, Hello { epoch: 9, ..hello }];
    for wrong in wrong {
        let mut side = greeted(&broker, &wrong);
        assert_eq!(side.read(&mut [0; 8]).unwrap(), 0, "it is closed");
    }
    let mut plain = UnixStream::connect(broker.socket()).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    std::io::Write::write_all(&mut plain, b"bursar-memory-1\nand no descriptor is with all th").unwrap();
    assert_eq!(plain.read(&mut [0; 8]).unwrap(), 0, "it is closed");
    wait_for_welcome(&greeted(&broker, &hello));
}

/// Put once, read twice, through frames and by memory over the same socket, and by memory in which the value was made; in turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_much_faster_memory_is_than_frames() {
    const TURNS: usize = 3;
    let broker = Broker::start();
    let socket = broker.socket();
    let in_frames = move || {
        let socket = socket.clone();
        async move { Ok(Box::new(tokio::net::UnixStream::connect(&socket).await?) as BoxIo) }
    };
    let by_memory = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
    let by_frames = Manager::builder().connector(in_frames).authkey(broker.authkey()).connect().await.unwrap();
    let data = value(LARGE);
    let mut took = [(Duration::MAX, Duration::MAX); 3];
    for _ in 0..TURNS {
        // Made anew: memory that was put before is known.
        let made = Raw::written(|memory| memory.write_all(&data.data)).unwrap();
        for ((manager, data), took) in [(&by_frames, &data), (&by_memory, &data), (&by_memory, &made)].into_iter().zip(&mut took)
        {
            let store: Kv<Raw> = manager.raw_kv("store").open_or_create().await.unwrap();
            let start = Instant::now();
            store.put("large", data).await.unwrap();
            took.0 = took.0.min(start.elapsed());
            let start = Instant::now();
            for _ in 0..2 {
                let read = store.get("large").await.unwrap().unwrap();
                // All of it is looked at.
                assert_eq!(sum_of_pages(&read), sum_of_pages(data));
            }
            took.1 = took.1.min(start.elapsed() / 2);
            store.delete("large").await.unwrap();
        }
    }
    let [frames, memory, made] = took;
    let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
    let all = |(put, get): (Duration, Duration)| put + 2 * get;
    figure(
        "memory",
        format!(
            "100 MB: put {} in frames, {} by memory ({:.1} x), {} if it was made there ({:.0} x); get {} in frames, {} by memory ({:.1} x); \
             one put and two gets {:.1} x, and {:.1} x",
            ms(frames.0),
            ms(memory.0),
            ratio(frames.0, memory.0),
            ms(made.0),
            ratio(frames.0, made.0),
            ms(frames.1),
            ms(memory.1),
            ratio(frames.1, memory.1),
            ratio(all(frames), all(memory)),
            ratio(all(frames), all(made)),
        ),
    );
}

fn sum_of_pages(data: &Raw) -> u64 {
    data.data.iter().step_by(4096).map(|byte| u64::from(*byte)).sum()
}
