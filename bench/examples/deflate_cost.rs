//! What permessage-deflate (RFC 7692) would cost and save without context takeover: processor time
//! for each broadcast that is compressed once, bytes that go to each recipient, memory of what
//! compresses. The figures of ADR 9 come from here:
//!
//! ```sh
//! cargo run --release -p dormouse-bench --example deflate_cost > docs/conformance/deflate.json
//! ```

use std::hint::black_box;
use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Rounds of each measurement; the median counts.
const ROUNDS: usize = 9;
/// Processor time of one round, at least.
const ROUND: Duration = Duration::from_millis(30);

/// Pseudo-random numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        // splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn id(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }
}

/// An update with fields and words in the clear, about this long.
fn clear(bytes: usize, numbers: &mut Numbers) -> String {
    const WORDS: [&str; 24] = [
        "session", "the", "message", "was", "updated", "by", "machine", "and", "returns", "value",
        "status", "active", "build", "failed", "with", "error", "line", "file", "function", "not",
        "found", "while", "reading", "output",
    ];
    let mut items = Vec::new();
    loop {
        let words = (0..8).map(|_| WORDS[(numbers.next() % 24) as usize]);
        let text: Vec<&str> = words.collect();
        items.push(json!({"id": numbers.id(), "seq": items.len(), "text": text.join(" ")}));
        let message = json!({
            "event": "update",
            "data": {"id": numbers.id(), "t": "items", "items": items},
            "timestamp": 1_790_000_000_000_u64,
        });
        let text = message.to_string();
        if text.len() >= bytes {
            return text;
        }
    }
}

/// An update whose content the clients have encrypted, as base64, about this long.
fn encrypted(bytes: usize, numbers: &mut Numbers) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let length = bytes.saturating_sub(180);
    let content: String = (0..length)
        .map(|_| char::from(ALPHABET[(numbers.next() % 64) as usize]))
        .collect();
    json!({
        "event": "update",
        "data": {"id": numbers.id(), "t": "new-message", "sid": numbers.id(), "content": {"t": "encrypted", "c": content}},
        "timestamp": 1_790_000_000_000_u64,
    })
    .to_string()
}

/// Processor time of this thread.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Processor time of one call, in microseconds: the median of the rounds.
fn cost(mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (began, mut calls) = (used(), 0_u32);
            loop {
                for _ in 0..8 {
                    call();
                }
                calls += 8;
                let took = used().saturating_sub(began);
                if took >= ROUND {
                    break took.as_secs_f64() * 1e6 / f64::from(calls);
                }
            }
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    (rounds[ROUNDS / 2] * 100.0).round() / 100.0
}

/// The payload of a compressed message: a flushed block without its last four bytes (RFC 7692
/// section 7.2.1).
fn compress(with: &mut Compress, message: &[u8], into: &mut Vec<u8>) {
    with.reset();
    into.clear();
    into.reserve(message.len() + 64);
    let _ = with.compress_vec(message, into, FlushCompress::Sync);
    into.truncate(into.len().saturating_sub(4));
}

fn decompress(with: &mut Decompress, payload: &[u8], most: usize, into: &mut Vec<u8>) {
    with.reset(false);
    into.clear();
    into.reserve(most);
    let _ = with.decompress_vec(payload, into, FlushDecompress::Sync);
    let _ = with.decompress_vec(&[0, 0, 0xff, 0xff], into, FlushDecompress::Sync);
}

/// Resident memory, bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * rustix::param::page_size()
}

/// Resident memory of one, by many that have been used.
fn memory<T>(make: impl Fn() -> T) -> usize {
    const MANY: usize = 100;
    let before = resident();
    let all: Vec<T> = (0..MANY).map(|_| make()).collect();
    let each = resident().saturating_sub(before) / MANY;
    drop(black_box(all));
    each
}

fn main() {
    let mut numbers = Numbers(1);
    let mut results: Vec<Value> = Vec::new();
    for size in [100, 250, 500, 1000, 4000, 16_000, 64_000] {
        let messages = [
            ("clear", clear(size, &mut numbers)),
            ("encrypted", encrypted(size, &mut numbers)),
        ];
        for (content, message) in messages {
            let message = message.as_bytes();
            for level in [1, 6] {
                let mut compressor = Compress::new(Compression::new(level), false);
                let mut payload = Vec::new();
                let compressing =
                    cost(|| compress(&mut compressor, black_box(message), &mut payload));
                let (mut decompressor, mut back) = (Decompress::new(false), Vec::new());
                let decompressing = cost(|| {
                    decompress(
                        &mut decompressor,
                        black_box(&payload),
                        message.len() + 64,
                        &mut back,
                    )
                });
                assert_eq!(back, message);
                results.push(json!({
                    "content": content, "level": level, "bytes": message.len(), "compressed_bytes": payload.len(),
                    "compress_us": compressing, "decompress_us": decompressing,
                }));
            }
        }
    }
    let (mut numbers, text) = (Numbers(2), 16_000);
    let text = clear(text, &mut numbers);
    let compressor = |level: u32| {
        memory(|| {
            let mut compressor = Compress::new(Compression::new(level), false);
            compress(&mut compressor, text.as_bytes(), &mut Vec::new());
            compressor
        })
    };
    let of_compressors = [1, 6].map(|level| json!({"level": level, "bytes": compressor(level)}));
    let mut payload = Vec::new();
    compress(
        &mut Compress::new(Compression::new(1), false),
        text.as_bytes(),
        &mut payload,
    );
    let of_decompressor = memory(|| {
        let mut decompressor = Decompress::new(false);
        decompress(
            &mut decompressor,
            &payload,
            text.len() + 64,
            &mut Vec::new(),
        );
        decompressor
    });
    let report = json!({
        "what": "permessage-deflate without context takeover: processor time of one message, bytes, resident memory of one compressor or decompressor",
        "library": "flate2 with zlib-rs", "rounds": ROUNDS, "messages": results,
        "compressor_memory": of_compressors, "decompressor_memory": of_decompressor,
    });
    println!("{report:#}");
}
