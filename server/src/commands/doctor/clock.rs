//! Whether the clock can be trusted: tokens and tickets are judged by it.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Finding;

const CHECK: &str = "clock";
/// 2026-01-01: no version of this program is older.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

/// Judges the clock by itself, and whether something keeps it right.
pub(super) fn check() -> Finding {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // Written by systemd-timesyncd, and by chrony and ntpd while they run.
    let signs = [
        "/run/systemd/timesync/synchronized",
        "/run/chrony/chronyd.pid",
        "/run/chronyd.pid",
        "/run/ntpd.pid",
        "/var/run/ntpd.pid",
    ];
    judge(now, signs.iter().any(|sign| Path::new(sign).exists()))
}

fn judge(now: Duration, is_kept: bool) -> Finding {
    if now < EARLIEST {
        let found = format!("{} s since 1970: it is far behind", now.as_secs());
        return Finding::bad(CHECK, found, "set it, and run chrony or systemd-timesyncd");
    }
    let time = crate::clock::iso_now();
    if is_kept {
        Finding::good(CHECK, format!("{time}, kept right by a time service"))
    } else {
        Finding::warning(
            CHECK,
            format!("{time}; no time service is seen here"),
            "compare it with another; in a container or a virtual machine the host keeps it, else \
             run chrony or systemd-timesyncd: tokens end by this clock",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn clocks_are_judged() {
        let now = EARLIEST + Duration::from_secs(1);
        assert_eq!(judge(now, true).verdict, Verdict::Good);
        assert_eq!(judge(now, false).verdict, Verdict::Warning);
        assert_eq!(judge(Duration::from_secs(5), true).verdict, Verdict::Bad);
    }
}
