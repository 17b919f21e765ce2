//! A broker with a kind of its own: seats that are booked, and given back when whoever booked them dies. The state is kept as that of
//! every other object; callers wait in it, and are given what comes free, as with a queue or a lock.
//!
//! ```text
//! cargo run --release -p bursar-examples --bin own_kind
//! ```

use bursar::{
    AuthKey, BoxIo, Manager,
    object::{Description, Failed, Method, Parameter},
};
use bursar_examples::{Outcome, ending};
use bursar_server::{
    Broker,
    broker::MemoryConnector,
    own::{Call, Decision, Departure, Kind, Moment, SessionId},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, process::ExitCode};

/// In every row.
const SEATS: u32 = 2;

/// Who has which seat.
#[derive(Default)]
struct Row {
    booked: BTreeMap<u32, Booked>,
}

/// Who booked, and by which session.
#[derive(Clone, Serialize, Deserialize)]
struct Booked {
    name: String,
    session: u64,
}

/// What the broker remembers.
#[derive(Clone, Serialize, Deserialize)]
enum Change {
    Booked(u32, Booked),
    Left(Vec<u32>),
}

impl Row {
    fn free(&self) -> Option<u32> {
        (1..=SEATS).find(|seat| !self.booked.contains_key(seat))
    }
}

impl Kind for Row {
    const NAME: &'static str = "row";
    type Change = Change;

    fn description() -> Description {
        let parameter = |name: &str, r#type: &str| Parameter { name: name.into(), r#type: r#type.into(), ..Parameter::default() };
        let method = |name: &str, parameter, result: &str| Method {
            name: name.into(),
            parameters: vec![parameter],
            result: result.into(),
            ..Method::default()
        };
        let methods = vec![
            method("book", parameter("name", "string"), "integer"),
            method("leave", parameter("seat", "integer"), "boolean"),
        ];
        Description { doc: "A row of seats.".into(), methods }
    }

    fn decide(&self, call: &Call<'_>) -> Result<Decision<Change>, Failed> {
        if call.method() == "leave" {
            let seat = call.argument("seat")?;
            return match self.booked.contains_key(&seat) {
                true => Decision::change(Change::Left(vec![seat]), &true),
                false => Decision::answer(&false),
            };
        }
        match self.free() {
            Some(seat) => {
                let booked = Booked { name: call.argument("name")?, session: call.caller.0 };
                Decision::change(Change::Booked(seat, booked), &seat)
            }
            None => Ok(Decision::Wait),
        }
    }

    fn evolve(&mut self, change: Change) {
        match change {
            Change::Booked(seat, booked) => _ = self.booked.insert(seat, booked),
            Change::Left(seats) => self.booked.retain(|seat, _| !seats.contains(seat)),
        }
    }

    fn history(&self) -> Vec<Change> {
        self.booked.iter().map(|(seat, booked)| Change::Booked(*seat, booked.clone())).collect()
    }

    fn departed(&self, session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Change> {
        let own = self.booked.iter().filter(|(_, booked)| booked.session == session.0);
        let own: Vec<u32> = own.map(|(seat, _)| *seat).collect();
        (!own.is_empty()).then_some(Change::Left(own))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    ending("own_kind", run().await)
}

async fn run() -> Outcome {
    let key = AuthKey::new(&std::array::from_fn::<u8, 32, _>(|at| at as u8))?;
    let broker = Broker::builder().key(key.clone()).kind::<Row>().start().await?;

    let (ada, bob) = (connect(broker.connector(), key.clone()).await?, connect(broker.connector(), key).await?);
    let row = ada.object("row-1").kind("row").create().await?;
    for name in ["Ada", "Charles"] {
        println!("{name} has seat {}", row.call("book").arg("name", name).send::<u32>().await?);
    }
    let theirs = bob.object(row.name()).open().await?;
    let waiting = tokio::spawn(async move { theirs.call("book").arg("name", "Bob").send::<u32>().await });
    println!("Bob waits, and Ada's program ends: her session gives back what it has");
    ada.close().await;
    println!("Bob has seat {}", waiting.await??);
    bob.close().await;
    broker.stop().await?;
    Ok(())
}

/// A session without a socket: the bytes go through memory. The key is proved all the same.
async fn connect(connector: MemoryConnector, authkey: AuthKey) -> bursar::Result<Manager> {
    let connector = move || {
        let connector = connector.clone();
        async move { Ok(Box::new(connector.connect().await?) as BoxIo) }
    };
    Manager::builder().connector(connector).authkey(authkey).connect().await
}
