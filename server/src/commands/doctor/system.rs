//! Limits of the process and of the kernel (deploy/limits has them as files).

use dormouse_config::Settings;
use rustix::process::{Resource, getrlimit};

use super::Finding;

/// Descriptors beside those of connections: workers, stores, listeners, a scrape.
const OTHER_FILES: u64 = 200;
/// What few servers should have less than.
const FEW_FILES: u64 = 65_536;

/// Whether the process may have a descriptor for every connection. The server raises the soft
/// limit by itself, so the hard one counts.
pub(super) fn open_files(settings: &Settings) -> Finding {
    let taken = settings.limits.connections_per_worker * settings.worker_count();
    judge_open_files(getrlimit(Resource::Nofile).maximum, taken as u64)
}

fn judge_open_files(hard: Option<u64>, taken: u64) -> Finding {
    const CHECK: &str = "open files";
    let Some(hard) = hard else {
        return Finding::good(CHECK, "no limit");
    };
    let connections = hard.saturating_sub(OTHER_FILES);
    let found = format!("{hard} allowed: about {connections} connections");
    let remedy =
        "raise LimitNOFILE (systemd), ulimits.nofile (compose) or deploy/limits/limits.conf";
    if hard < 4096 {
        Finding::bad(CHECK, found, format!("{remedy} to 1048576"))
    } else if hard < FEW_FILES.min(taken) {
        let more = format!("; the settings would take {taken}");
        Finding::warning(
            CHECK,
            found + &more,
            format!("{remedy}, if you expect more"),
        )
    } else {
        Finding::good(CHECK, found)
    }
}

/// The kernel's settings that bound a busy server.
pub(super) fn kernel(settings: &Settings) -> Vec<Finding> {
    let read = |name: &str| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        std::fs::read_to_string(path).ok()
    };
    judge_kernel(settings.limits.backlog, read)
}

fn judge_kernel(backlog: u32, read: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let numbers = |name: &str| -> Option<Vec<u64>> {
        let words = read(name)?;
        words
            .split_whitespace()
            .map(|word| word.parse().ok())
            .collect()
    };
    let set = |setting: &str| {
        format!(
            "set {setting} in /etc/sysctl.d (deploy/limits/60-dormouse.conf has all of them) and \
             run `sysctl --system`"
        )
    };
    let mut findings = Vec::new();
    let mut at_least = |name: &'static str, least: u64, what: &str| {
        let Some(number) = numbers(name).and_then(|all| all.first().copied()) else {
            findings.push(Finding::good(name, "not told by this system"));
            return;
        };
        findings.push(if number >= least {
            Finding::good(name, number.to_string())
        } else {
            let found = format!("{number}: {what}");
            Finding::warning(name, found, set(&format!("{name} = {least}")))
        });
    };
    at_least(
        "net.core.somaxconn",
        u64::from(backlog),
        "fewer than limits.backlog can wait to be accepted, so a burst of clients is refused",
    );
    at_least(
        "net.ipv4.tcp_max_syn_backlog",
        u64::from(backlog),
        "a burst of clients loses handshakes",
    );
    at_least(
        "fs.file-max",
        FEW_FILES,
        "all programs together can open few files",
    );
    if let Some([from, to]) = numbers("net.ipv4.ip_local_port_range").as_deref() {
        let ports = to.saturating_sub(*from);
        const NAME: &str = "net.ipv4.ip_local_port_range";
        findings.push(if ports >= 28_000 {
            Finding::good(NAME, format!("{from} to {to}"))
        } else {
            let found = format!("{ports} ports: a proxy on this host reaches the server with no more connections than that");
            Finding::warning(NAME, found, set("net.ipv4.ip_local_port_range = 1024 65535"))
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn descriptors_are_compared_with_what_is_needed() {
        for (hard, taken, expected) in [
            (None, 50_000, Verdict::Good),
            (Some(1_048_576), 50_000, Verdict::Good),
            (Some(20_000), 51_200, Verdict::Warning),
            (Some(20_000), 10_000, Verdict::Good),
            (Some(1024), 51_200, Verdict::Bad),
            (Some(0), 0, Verdict::Bad),
        ] {
            assert_eq!(
                judge_open_files(hard, taken).verdict,
                expected,
                "{hard:?} {taken}"
            );
        }
    }

    #[test]
    fn kernel_settings_are_judged_and_named() {
        let small = judge_kernel(1024, |name| {
            Some(match name {
                "net.ipv4.ip_local_port_range" => "40000\t50000\n".to_owned(),
                _ => "128\n".to_owned(),
            })
        });
        assert_eq!(small.len(), 4);
        assert!(
            small
                .iter()
                .all(|finding| finding.verdict == Verdict::Warning)
        );
        assert!(
            small[0].remedy.contains("net.core.somaxconn = 1024"),
            "{small:?}"
        );
        let large = judge_kernel(1024, |name| {
            Some(match name {
                "net.ipv4.ip_local_port_range" => "1024 65535".to_owned(),
                _ => "9223372036854775807".to_owned(),
            })
        });
        assert!(
            large.iter().all(|finding| finding.verdict == Verdict::Good),
            "{large:?}"
        );
        for odd in ["", "x", "-1", "1 x"] {
            let findings = judge_kernel(1024, |_| Some(odd.to_owned()));
            assert!(
                findings
                    .iter()
                    .all(|finding| finding.verdict == Verdict::Good),
                "{odd}"
            );
        }
        assert_eq!(judge_kernel(1024, |_| None).len(), 3);
    }
}
