//! What Linux tells about a process and its sockets under `/proc`.
//!
//! Owns reading and parsing. Called by the footprint scenario. The parsers are pure; nothing here
//! keeps state.

use std::io;
use std::time::Duration;

/// Processor time of a process and how it divides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// All threads together, from the scheduler's own clock (nanoseconds). Exact for threads that
    /// sleep; one that runs right now is counted up to its last tick.
    pub total: Duration,
    /// Part spent in user mode, in clock ticks (usually 10 ms).
    pub user_ticks: u64,
    /// Part spent in the kernel, in clock ticks.
    pub system_ticks: u64,
}

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// All of it.
    pub resident: u64,
    /// The part without a file behind it: heap and stacks. `None` where only the total is told.
    pub anonymous: Option<u64>,
}

/// Memory that the kernel keeps for sockets, in bytes, for the whole machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelMemory {
    /// Buffers of TCP sockets.
    pub tcp_buffers: u64,
    /// All slabs, where the sockets themselves live.
    pub slab: u64,
}

/// Processor time of a process since its start.
///
/// # Errors
/// There is no such process, or it is not ours to see.
pub fn cpu_time(pid: u32) -> io::Result<CpuTime> {
    let mut nanos = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        match std::fs::read_to_string(task?.path().join("schedstat")) {
            Ok(text) => nanos += parse_schedstat(&text).ok_or(io::ErrorKind::InvalidData)?,
            // A thread that ended between the two readings.
            Err(err) if gone(&err) => {}
            Err(err) => return Err(err),
        }
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (user_ticks, system_ticks) = parse_stat(&stat).ok_or(io::ErrorKind::InvalidData)?;
    Ok(CpuTime {
        total: Duration::from_nanos(nanos),
        user_ticks,
        system_ticks,
    })
}

/// Resident memory of a process.
///
/// # Errors
/// There is no such process, or it is not ours to see.
pub fn memory(pid: u32) -> io::Result<Memory> {
    if let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        && let Some(memory) = parse_smaps_rollup(&text)
    {
        return Ok(memory);
    }
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    let resident = pages.ok_or(io::ErrorKind::InvalidData)? * rustix::param::page_size() as u64;
    Ok(Memory {
        resident,
        anonymous: None,
    })
}

/// What the kernel keeps for sockets.
///
/// # Errors
/// `/proc` does not tell.
pub fn kernel_memory() -> io::Result<KernelMemory> {
    let sockets = std::fs::read_to_string("/proc/net/sockstat")?;
    let meminfo = std::fs::read_to_string("/proc/meminfo")?;
    let pages = parse_sockstat(&sockets).ok_or(io::ErrorKind::InvalidData)?;
    let slab = kibibytes(&meminfo, "Slab:").ok_or(io::ErrorKind::InvalidData)?;
    Ok(KernelMemory {
        tcp_buffers: pages * rustix::param::page_size() as u64,
        slab,
    })
}

/// Whether a process listens on a TCP port.
///
/// # Errors
/// There is no such process, or it is not ours to see.
pub fn listens(pid: u32, port: u16) -> io::Result<bool> {
    let mut sockets = Vec::new();
    for table in ["tcp", "tcp6"] {
        // A kernel without IPv6 has no second table.
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        sockets.extend(text.lines().filter_map(|line| parse_listener(line, port)));
    }
    for file in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A file that was closed between the two readings.
        let Ok(link) = std::fs::read_link(file?.path()) else {
            continue;
        };
        let inode = link
            .to_str()
            .and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
        if inode.is_some_and(|inode| sockets.iter().any(|socket| socket == inode)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How many files a process has open.
///
/// # Errors
/// There is no such process, or it is not ours to see.
pub fn open_files(pid: u32) -> io::Result<u64> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64)
}

/// How many files a process may have open; `None` without a limit.
///
/// # Errors
/// There is no such process, or it is not ours to see.
pub fn open_files_limit(pid: u32) -> io::Result<Option<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    parse_limits(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn gone(err: &io::Error) -> bool {
    // ESRCH: the directory was there, the thread no longer.
    err.kind() == io::ErrorKind::NotFound || err.raw_os_error() == Some(3)
}

/// Nanoseconds on a processor: the first of three numbers.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// User and system ticks. The command's name, in parentheses, may itself contain anything.
fn parse_stat(text: &str) -> Option<(u64, u64)> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn parse_smaps_rollup(text: &str) -> Option<Memory> {
    let resident = kibibytes(text, "Rss:")?;
    Some(Memory {
        resident,
        anonymous: kibibytes(text, "Anonymous:"),
    })
}

/// Pages of TCP buffers.
fn parse_sockstat(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

/// The inode of a socket that listens on this port, from a line of the kernel's table.
fn parse_listener(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let matches = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == LISTEN;
    matches.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
}

/// The soft limit of open files.
fn parse_limits(text: &str) -> Option<Option<u64>> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(None),
        limit => Some(Some(limit.parse().ok()?)),
    }
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = value.split_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!(parse_schedstat("500704142 187010 6\n"), Some(500_704_142));
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 101 0 0 0 17 23 0 0 20 0 1 0 367170";
        assert_eq!(parse_stat(stat), Some((17, 23)));
        let rollup = "00-ff ---p 0 00:00 0 [rollup]\nRss:    9980 kB\nPss: 1 kB\nAnonymous: 8 kB\n";
        assert_eq!(
            parse_smaps_rollup(rollup),
            Some(Memory {
                resident: 9980 * 1024,
                anonymous: Some(8192)
            })
        );
        let sockstat = "sockets: used 11\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 6\nUDP: mem 9\n";
        assert_eq!(parse_sockstat(sockstat), Some(6));
        let row = "   0: 0100007F:2253 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 \
                   12345 1 0000000000000000 100 0 0 10 0";
        assert_eq!(parse_listener(row, 0x2253).as_deref(), Some("12345"));
        assert_eq!(parse_listener(row, 0x2254), None);
        assert_eq!(parse_listener(&row.replace(" 0A ", " 01 "), 0x2253), None);
        let limits = "Limit  Soft Limit\nMax open files            1024       20000    files\n";
        assert_eq!(parse_limits(limits), Some(Some(1024)));
        assert_eq!(
            parse_limits("Max open files  unlimited unlimited files"),
            Some(None)
        );
    }

    #[test]
    fn what_is_not_the_kernels_text_is_refused() {
        for text in [
            "",
            "Max open files",
            "TCP: mem",
            "Rss: x kB",
            "1 (a S",
            "\u{0}",
        ] {
            assert_eq!(parse_stat(text), None);
            assert_eq!(parse_sockstat(text), None);
            assert_eq!(parse_smaps_rollup(text), None);
            assert_eq!(parse_limits(text), None);
            assert_eq!(parse_listener(text, 1), None);
        }
    }

    #[test]
    fn this_process_is_seen() {
        let pid = std::process::id();
        let before = cpu_time(pid).unwrap();
        let memory = memory(pid).unwrap();
        assert!(memory.resident > 4096 && memory.anonymous < Some(memory.resident));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listens(pid, port).unwrap());
        assert!(open_files(pid).unwrap() > 3);
        drop(listener);
        assert!(!listens(pid, port).unwrap());
        assert!(
            open_files_limit(pid)
                .unwrap()
                .is_none_or(|limit| limit >= 3)
        );
        assert!(kernel_memory().unwrap().slab > 0);
        assert!(cpu_time(pid).unwrap().total >= before.total);
        assert!(cpu_time(u32::MAX).is_err());
    }
}
