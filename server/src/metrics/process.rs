//! What the operating system says of this process: memory, processor time, open files.
//!
//! Owns the reading of `/proc/self`. Called by scrapes, by the admin overview and by the statistics
//! of users. It must never fail a caller: what cannot be read (another system, a container without
//! `/proc`) is `None`. All but [`list_open_files`] read one small file at most.

use std::sync::OnceLock;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Memory of the process that is in RAM, bytes.
pub fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    resident_pages(&statm)?.checked_mul(page)
}

/// Processor time that all threads used since the start, user and system, seconds.
pub fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Files that the process has open: sockets, most of all. `None` before Linux 6.2, which tells
/// their number as a folder's size.
pub fn open_files() -> Option<u64> {
    let size = std::fs::metadata("/proc/self/fd").ok()?.len();
    (size > 0).then_some(size)
}

/// As [`open_files`], on any Linux: lists them, which takes long with many connections. Not to be
/// called on a thread that serves some.
pub fn list_open_files() -> Option<u64> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // The listing itself is an open file.
    u64::try_from(count).ok()?.checked_sub(1)
}

/// How many files the process may have open; `None` when there is no limit.
pub fn max_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// When the process started, Unix seconds.
pub fn started_at() -> Option<f64> {
    static STARTED: OnceLock<Option<f64>> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let own = std::fs::read_to_string("/proc/self/stat").ok()?;
        let system = std::fs::read_to_string("/proc/stat").ok()?;
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        Some(boot_time(&system)? as f64 + start_ticks(&own)? as f64 / ticks_per_second)
    })
}

/// The second number of `statm`: resident pages.
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Field 22 of `stat`: start after boot, in clock ticks. The second field is the program's name in
/// brackets, which may hold spaces and brackets of its own.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The line `btime`: when the system booted, Unix seconds.
fn boot_time(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_found() {
        assert_eq!(resident_pages("765 435 407 5 0 123 0\n"), Some(435));
        assert_eq!(resident_pages("765"), None);
        let stat = "42 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 1234 20 21";
        assert_eq!(start_ticks(stat), Some(1234));
        assert_eq!(
            boot_time("cpu 1 2\nbtime 1700000000\nx 1\n"),
            Some(1_700_000_000)
        );
        assert_eq!(boot_time("cpu 1 2\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_described() {
        let before = resident_bytes().unwrap();
        let held = vec![1_u8; 64 << 20];
        let after = resident_bytes().unwrap();
        assert!(after >= before + (32 << 20), "{before} {after}");
        drop(held);
        assert!(cpu_seconds() > 0.0);
        let started = started_at().unwrap();
        let now = crate::clock::unix_ms() as f64 / 1000.0;
        assert!(started <= now + 2.0 && started > 1e9, "{started} {now}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn open_files_are_counted() {
        let held: Vec<_> = (0..300)
            .map(|_| std::fs::File::open("/dev/null").unwrap())
            .collect();
        assert!(list_open_files().unwrap() >= 300);
        // Older systems say nothing here.
        assert!(open_files().is_none_or(|count| count >= 300));
        drop(held);
    }

    proptest! {
        #[test]
        fn odd_texts_are_nothing(text in "\\PC*") {
            let _ = (resident_pages(&text), start_ticks(&text), boot_time(&text));
        }
    }
}
