//! Objects of one's own beside a key of a store, in one run: the same bytes there and back.

use crate::{
    peer::Outcome,
    server::{Server, this_program},
};
use bursar::{
    Address, AuthKey, Kv, Manager, Raw,
    object::{Answer, Answering, Call, Description, Method, Object, Parameter, Service},
};
use bursar_server::{Broker, config::Config};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

/// The role of this program that serves the object.
pub const PROVIDER: &str = "provide";
/// The role of this program that is a broker, and serves the object in it.
pub const EMBEDDING: &str = "embed";
/// What it is called there.
pub const EMBEDDED: &str = "bench/embedded";

/// What gives back what it gets.
pub struct Echo;

impl Service for Echo {
    fn description(&self) -> Description {
        let item = Parameter { name: "item".into(), r#type: "bytes".into(), ..Parameter::default() };
        let echo = Method { name: "echo".into(), parameters: vec![item], result: "bytes".into(), ..Method::default() };
        Description { methods: vec![echo], ..Description::default() }
    }

    fn call(self: Arc<Self>, mut call: Call) -> Answering {
        Box::pin(async move {
            match call.arguments.take::<Raw>("item") {
                Ok(item) => Answer::Result(item.unwrap_or_default()),
                Err(failed) => Answer::Failed(failed),
            }
        })
    }
}

/// Serves the object of this name, until this process is killed.
pub fn provide() -> Outcome {
    let name = std::env::args().nth(2).ok_or("expected the name of the object")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let serving = Manager::from_env().await?.serve(&name, Arc::new(Echo)).start().await?;
        println!("serving");
        match serving.ended().await {
            Some(error) => Err(error.to_string().into()),
            None => Ok(()),
        }
    })
}

/// A broker in this directory that serves the object itself, until it is killed.
pub fn embed() -> Outcome {
    let directory = std::path::PathBuf::from(std::env::args().nth(2).ok_or("expected a directory")?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = Config { listen: vec![Address::Unix(directory.join("socket"))], ..Config::default() };
        let key = AuthKey::generate(directory.join("authkey"))?;
        let broker = Broker::builder().config(config).key(key).register(EMBEDDED, Arc::new(Echo)).start().await?;
        println!("address {}", broker.addresses()[0]);
        std::future::pending::<()>().await;
        Ok(())
    })
}

/// Starts such a process.
pub fn embedding() -> Outcome<Server> {
    let mut server = Server::start(|directory| {
        let mut command = this_program(EMBEDDING)?;
        command.arg(directory).stdout(Stdio::piped());
        Ok(command)
    })?;
    server.wait_for_line("address ")?;
    Ok(server)
}

/// Starts a process that serves the object.
pub fn provider(name: &str, address: &str, key_file: &std::path::Path) -> Outcome<Server> {
    let mut server = Server::start(|_| {
        let mut command = this_program(PROVIDER)?;
        command.arg(name).env("BURSAR_ADDRESS", address).env("BURSAR_AUTHKEY_FILE", key_file).stdout(Stdio::piped());
        Ok(command)
    })?;
    server.wait_for_line("serving")?;
    Ok(server)
}

/// How often a call takes as long as reading a key: medians of calls that take turns, or, with many in flight, times of as many.
pub async fn beside_get(object: &Object, kv: &Kv<Raw>, item: &Raw, count: usize, in_flight: usize) -> Outcome<f64> {
    kv.put("key", item.clone()).await?;
    let call =
        || async { object.call("echo").arg("item", item).send::<Raw>().await.map(drop).map_err(|error| error.to_string()) };
    let get = || async { kv.get("key").await.map(drop).map_err(|error| error.to_string()) };
    if in_flight > 1 {
        let start = Instant::now();
        stream::iter(0..count).map(|_| get()).buffer_unordered(in_flight).try_collect::<()>().await?;
        let between = Instant::now();
        stream::iter(0..count).map(|_| call()).buffer_unordered(in_flight).try_collect::<()>().await?;
        return Ok(between.elapsed().as_secs_f64() / (between - start).as_secs_f64());
    }
    let (mut gets, mut calls) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for _ in 0..count {
        let start = Instant::now();
        get().await?;
        let between = Instant::now();
        call().await?;
        gets.push(between - start);
        calls.push(between.elapsed());
    }
    Ok(median(calls).as_secs_f64() / median(gets).as_secs_f64())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
