//! Redis: a list (RPUSH, LMPOP), and a stream with a consumer group (XADD, XREADGROUP, XACK). Nothing is written to disk.

use crate::{
    measure::BATCH,
    peer::{Consumer, Kind, Outcome, PATIENCE, Peer, Producer, Shape, Style, drive, p50},
    server::Server,
};
use redis::{Cmd, Connection, ConnectionLike, Value, cmd};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

const GROUP: &str = "workers";

pub struct Redis {
    kind: Kind,
    server: Server,
    item: Vec<u8>,
    queues: u32,
}

impl Redis {
    pub fn start(kind: Kind, payload: usize) -> Outcome<Redis> {
        let server = start_server()?;
        Ok(Redis { kind, server, item: vec![b'x'; payload], queues: 0 })
    }

    fn connect(&self) -> Outcome<Connection> {
        Ok(redis::Client::open(url(&self.server))?.get_connection()?)
    }

    fn next_queue(&mut self) -> Outcome<String> {
        self.queues += 1;
        let queue = format!("bench-{}", self.queues);
        if self.kind == Kind::RedisStream {
            let mut create = cmd("XGROUP");
            create.arg("CREATE").arg(&queue).arg(GROUP).arg("0").arg("MKSTREAM");
            create.exec(&mut self.connect()?)?;
        }
        Ok(queue)
    }

    fn client(&self, queue: &str, number: usize) -> Outcome<Client> {
        let (connection, queue, item) = (self.connect()?, queue.to_owned(), self.item.clone());
        Ok(Client { kind: self.kind, connection, queue, item, name: format!("consumer-{number}") })
    }

    fn delete(&self, queue: &str) -> Outcome {
        Ok(cmd("DEL").arg(queue).exec(&mut self.connect()?)?)
    }
}

/// One that answers. Subscribers may fall behind as far as they like: else redis closes the connection of a slow one.
pub(super) fn start_server() -> Outcome<Server> {
    let mut server = Server::start(|directory| {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(directory.join("socket"));
        command.args(["--client-output-buffer-limit", "pubsub 0 0 0"]);
        command.arg("--dir").arg(directory).stdout(Stdio::null());
        Ok(command)
    })?;
    let url = url(&server);
    server.wait_until(|| redis::Client::open(url.as_str()).ok()?.get_connection().ok())?;
    Ok(server)
}

pub(super) fn url(server: &Server) -> String {
    format!("redis+unix://{}", server.path("socket").display())
}

impl Peer for Redis {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn throughput(&mut self, shape: Shape, items: u64) -> Outcome<Duration> {
        let queue = self.next_queue()?;
        let client = |number| self.client(&queue, number);
        let producers = (0..shape.producers).map(|at| Ok(Box::new(client(at)?) as Box<dyn Producer>)).collect::<Outcome<_>>()?;
        let consumers = (0..shape.consumers).map(|at| Ok(Box::new(client(at)?) as Box<dyn Consumer>)).collect::<Outcome<_>>()?;
        let took = drive(shape, items, producers, consumers)?;
        self.delete(&queue)?;
        Ok(took)
    }

    fn put_p50(&mut self, count: usize) -> Outcome<f64> {
        let queue = self.next_queue()?;
        let mut client = self.client(&queue, 0)?;
        let figure = p50(count, || client.put(1, Style::Single))?;
        self.delete(&queue)?;
        Ok(figure)
    }

    fn put_get_done_p50(&mut self, count: usize) -> Outcome<f64> {
        let queue = self.next_queue()?;
        let mut client = self.client(&queue, 0)?;
        let figure = p50(count, || {
            client.put(1, Style::Single)?;
            client.take(1).map(drop)
        })?;
        self.delete(&queue)?;
        Ok(figure)
    }

    fn bytes_per_item(&mut self, items: u64) -> Outcome<f64> {
        let queue = self.next_queue()?;
        let mut client = self.client(&queue, 0)?;
        let before = self.server.memory()?;
        client.put(items as usize, Style::Batched)?;
        Ok((self.server.memory()? - before) / items as f64)
    }

    fn bytes_per_connection(&mut self, connections: usize) -> Outcome<f64> {
        let before = self.server.memory()?;
        let all = (0..connections).map(|_| self.connect()).collect::<Outcome<Vec<_>>>()?;
        let after = self.server.memory()?;
        drop(all);
        Ok((after - before) / connections as f64)
    }
}

struct Client {
    kind: Kind,
    connection: Connection,
    queue: String,
    item: Vec<u8>,
    name: String,
}

impl Client {
    fn push(&self, items: usize) -> Cmd {
        let mut push = cmd("RPUSH");
        push.arg(&self.queue);
        for _ in 0..items {
            push.arg(&self.item[..]);
        }
        push
    }

    fn add(&self) -> Cmd {
        let mut add = cmd("XADD");
        add.arg(&self.queue).arg("*").arg("d").arg(&self.item[..]);
        add
    }

    /// As many as are asked for, in one request.
    fn put_batch(&mut self, items: usize) -> Outcome {
        match self.kind {
            Kind::RedisList => self.push(items).exec(&mut self.connection)?,
            _ => {
                let mut pipe = redis::pipe();
                let add = self.add();
                for _ in 0..items {
                    pipe.add_command(add.clone());
                }
                let packed = pipe.get_packed_pipeline();
                self.connection.req_packed_commands(&packed, 0, items)?;
            }
        }
        Ok(())
    }

    fn take_from_list(&mut self, max: usize) -> Outcome<u64> {
        let mut pop = cmd("BLMPOP");
        pop.arg(PATIENCE.as_secs_f64()).arg(1).arg(&self.queue).arg("LEFT").arg("COUNT").arg(max);
        match pop.query(&mut self.connection)? {
            Value::Nil => Ok(0),
            Value::Array(reply) => match &reply[..] {
                [_, Value::Array(items)] => Ok(items.len() as u64),
                _ => Err(format!("an unexpected reply to BLMPOP: {reply:?}").into()),
            },
            other => Err(format!("an unexpected reply to BLMPOP: {other:?}").into()),
        }
    }

    fn take_from_stream(&mut self, max: usize) -> Outcome<u64> {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg(GROUP).arg(&self.name).arg("COUNT").arg(max).arg("BLOCK").arg(PATIENCE.as_millis() as u64);
        read.arg("STREAMS").arg(&self.queue).arg(">");
        let reply: Value = read.query(&mut self.connection)?;
        let Some(ids) = ids(&reply) else { return Ok(0) };
        let mut done = cmd("XACK");
        done.arg(&self.queue).arg(GROUP).arg(&ids[..]);
        Ok(done.query(&mut self.connection)?)
    }
}

/// `[[queue, [[id, fields], ...]]]`; none when nothing came.
fn ids(reply: &Value) -> Option<Vec<&[u8]>> {
    let [stream] = array(reply)? else { return None };
    let [_, entries] = array(stream)? else { return None };
    array(entries)?.iter().map(id).collect()
}

fn id(entry: &Value) -> Option<&[u8]> {
    match array(entry)?.first()? {
        Value::BulkString(id) => Some(id),
        _ => None,
    }
}

fn array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

impl Producer for Client {
    fn put(&mut self, items: usize, style: Style) -> Outcome {
        match (style, self.kind) {
            (Style::Single, Kind::RedisList) => (0..items).try_for_each(|_| Ok(self.push(1).exec(&mut self.connection)?)),
            (Style::Single, _) => (0..items).try_for_each(|_| Ok(self.add().exec(&mut self.connection)?)),
            _ => (0..items).step_by(BATCH).try_for_each(|from| self.put_batch(BATCH.min(items - from))),
        }
    }
}

impl Consumer for Client {
    fn take(&mut self, max: usize) -> Outcome<u64> {
        match self.kind {
            Kind::RedisList => self.take_from_list(max),
            _ => self.take_from_stream(max),
        }
    }
}
