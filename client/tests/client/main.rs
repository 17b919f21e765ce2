//! The client against a real broker in this process: over a line that can be cut, against impostors, and verb by verb.

mod channels;
mod connecting;
mod kv;
mod line;
mod locks;
mod queue;
mod resuming;
mod sent;
mod signals;
mod topics;
// Followed stores.
mod changes;
mod mirror;
// Objects of one's own.
mod objects;
// Lists, values, transactions, and who waits.
mod array;
mod fences;
mod list;
mod txn;
mod values;
mod waits;

use bursar::{Manager, blocking::block_on};
use bursar_server::testing::TestBroker;

/// A broker, and a session on it. Nothing here needs a runtime of its own: that is part of what is tested.
fn connected() -> (TestBroker, Manager) {
    let broker = TestBroker::start();
    let manager = connect(&broker);
    (broker, manager)
}

fn connect(broker: &TestBroker) -> Manager {
    block_on(Manager::connect(broker.address(), broker.authkey())).unwrap()
}
