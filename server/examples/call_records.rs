//! Fills a database with call records, to measure reports over many: `cargo run --release -p
//! dormouse-server --example call_records -- DATA_DIR COUNT`. They are spread over the last seven
//! days of the default tenant; the server may be running.

use std::sync::Arc;
use std::time::Duration;

use dormouse_server::clock::unix_ms;
use dormouse_server::database::publisher::NoPublisher;
use dormouse_server::database::{Database, DatabaseError, Location, Options};
use dormouse_server::events::call_record::{self, CallRecord, RecordStatus};

/// Records of one transaction.
const PIECE: u64 = 5_000;
/// The span, ms.
const WEEK: u64 = 7 * 86_400_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: call_records DATA_DIR COUNT".into());
    };
    let count: u64 = count.parse()?;
    std::fs::create_dir_all(&folder)?;
    let options = Options {
        location: Location::new(None, folder.as_ref()),
        read_connections: 1,
        write_queue: 16,
        lock_timeout: Duration::from_secs(10),
    };
    let database = Database::open(options, Arc::new(NoPublisher))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        let begin = unix_ms() - WEEK;
        for first in (0..count).step_by(PIECE as usize) {
            let numbers = first..(first + PIECE).min(count);
            let records: Vec<CallRecord> = numbers
                .map(|number| record(number, begin + WEEK * number / count))
                .collect();
            let writing = database.write(async move |tx| call_record::insert(tx, &records).await);
            let written: Result<(), DatabaseError> = writing.await;
            written?;
        }
        database.close().await;
        Ok::<_, DatabaseError>(())
    })?;
    Ok(())
}

fn record(number: u64, at: u64) -> CallRecord {
    let status = match number % 10 {
        0 => RecordStatus::Failed,
        1 => RecordStatus::NoAnswer,
        2 => RecordStatus::Busy,
        _ => RecordStatus::Completed,
    };
    let is_answered = status.is_answered();
    let duration = if is_answered {
        30 + (number * 7) as i64 % 300
    } else {
        0
    };
    CallRecord {
        tenant: "00000000-0000-0000-0000-000000000000".into(),
        call_id: format!("record-{number}"),
        from_number: Some("+15551234567".to_owned()),
        to_number: Some("+15557654321".to_owned()),
        direction: "INBOUND".to_owned(),
        status,
        duration,
        billable_duration: duration,
        cost_micros: duration * 1000,
        rate_micros: 60_000,
        handle_ms: is_answered.then_some(duration * 1000),
        campaign_id: format!("campaign-{}", number % 20),
        publisher_id: String::new(),
        buyer_id: String::new(),
        created_at: at as i64,
    }
}
