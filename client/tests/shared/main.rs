//! Traits with the attribute `shared`: what it makes of them, against a real broker in this process.

mod described;
mod drift;
mod shelf;
mod threads;
mod turns;
mod values;

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
