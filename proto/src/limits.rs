//! Sizes that both ends must agree on. Each has its reason; what only the broker decides stands in its configuration.

/// Longest name of an object.
pub const NAME_BYTES_MAX: usize = 200;
/// Largest payload of an item or value that a broker takes unless it is configured otherwise: half of what one connection may have in
/// partly received messages. Larger things are files, and have a better place.
pub const PAYLOAD_BYTES_MAX: usize = 128 << 20;
/// A frame is closed when it holds this many entries, so that a beat never stands behind much.
pub const FRAME_ENTRIES_MAX: usize = 512;
/// A frame is closed when its entries reach this many bytes; an entry that is larger by itself travels in parts of this size.
pub const FRAME_BYTES_MAX: usize = 256 << 10;
/// Largest gRPC message outside of `Auth`.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Largest gRPC message of `Auth`: its messages are a few hundred bytes, and strangers send them.
pub const AUTH_MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Calls of one session that are not answered yet. A thousand blocked gets are ordinary; this many are a leak.
pub const CALLS_IN_FLIGHT_MAX: usize = 65_536;
/// Items in one put, get or settlement. Larger requests are split by the SDK.
pub const BATCH_MAX: usize = 10_000;
/// Payload bytes in one reply beyond its first item; with one item more it stays below `MESSAGE_BYTES_MAX` or travels in parts.
pub const REPLY_BYTES_MAX: usize = 1 << 20;
/// Silence after which a session ends, unless the client asks for another.
pub const SESSION_TTL_MS: u64 = 10_000;
/// The shortest and longest silence a client may ask for: below, a scheduling hiccup ends sessions; above, the dead hold for too long.
pub const SESSION_TTL_MS_RANGE: std::ops::RangeInclusive<u64> = 500..=300_000;
