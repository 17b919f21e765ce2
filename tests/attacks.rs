//! Attacks on the real program: faults and hostile peers against a `bursar serve` process, on loopback, bounded in count and time.
//!
//! Each test asserts what must hold and prints its figure as one line that begins with its row, such as `R04`. A figure is never
//! asserted as a time: a machine may be slow, a broker may not be wrong.
//!
//! | row | attack | file |
//! | --- | --- | --- |
//! | R04 R07 | consumers killed, stopped, cut off; a stopped one acts again | `holders` |
//! | R04 R05 R07 | the same for holders of locks, permits and conditions; parties of barriers die; long lines | `locks` |
//! | R05 | clients vanish at any await of `get` | `vanishing` |
//! | R06 | replies lost, calls sent again | `retries` |
//! | R08 | every kind of wrong credential | `strangers` |
//! | R09 R10 R11 | blocked calls, silent connections, no descriptors left | `crowds` |
//! | R12 | memory asked for and never used | `memory` |
//! | R13 | floods of HTTP/2 frames | `floods` |
//! | R18 | replies lost, connections cut, clients silent: histories are linearizable | `histories` |
//! | R04 R06 | who sends, receives, publishes, shares is killed and replaced; connections are cut | `talks::killed` |
//! | R04 R12 | large values in shared memory: processes are killed, descriptors are no memory, sockets lose descriptors | `sharing` |
//! | R19 | a stuck subscriber among a thousand; one that is stopped, under each overload policy | `talks::stuck` |
//! | R12 | of channels and topics: what is not one's own, lists without end, more subscriptions than there may be | `talks::refused` |
//! | R05 R06 | who serves an object is killed, stopped, cut off; who calls is gone | `calls` |
//! | R21 R22 R23 R24 | workers and brokers killed, hostile trees, crash loops, floods of output | `processes` |
//! | R20 | the broker is told to stop amid all this | `stopping` |

mod calls;
mod consumer;
mod crowds;
mod floods;
mod histories;
mod holders;
mod locks;
mod measure;
mod memory;
mod party;
mod processes;
mod proxy;
mod retries;
mod sharing;
mod stopping;
mod strangers;
mod talks;
mod vanishing;
mod wire;
