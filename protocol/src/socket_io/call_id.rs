//! Ids of RPC calls in their two forms: text for plain clients, a number for Socket.IO.
//!
//! Socket.IO acknowledges by number, and a number that a JavaScript client can echo has 53 bits.
//! A call's id is therefore 37 random bits and the number of the shard that keeps the call, so that
//! neither form needs a table.

/// Bits of a shard's number.
const SHARD_BITS: u32 = 16;

/// Bits that are random.
const RANDOM_BITS: u32 = 37;

/// The id of a call that a shard keeps; of `random`, the lowest 37 bits count.
pub fn call_id(random: u64, shard: u16) -> Box<str> {
    let random = random & ((1 << RANDOM_BITS) - 1);
    format!("call-{random:010x}-{shard}").into()
}

/// The number under which a Socket.IO client acknowledges the call; `None` for other ids.
pub fn call_number(id: &str) -> Option<u64> {
    let (random, shard) = id.strip_prefix("call-")?.split_once('-')?;
    if random.len() != 10 || !random.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let random = u64::from_str_radix(random, 16).ok()?;
    let shard: u16 = shard.parse().ok()?;
    (random >> RANDOM_BITS == 0).then_some((random << SHARD_BITS) | u64::from(shard))
}

/// The id of the call that a Socket.IO client acknowledges.
pub(super) fn id_of_number(number: u64) -> Box<str> {
    call_id(number >> SHARD_BITS, number as u16)
}
