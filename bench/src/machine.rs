//! The machine that a run was made on, for its result file.

use serde::{Deserialize, Serialize};

/// What makes results of different machines incomparable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Operating system.
    pub os: String,
    /// Its kernel's version, if it tells.
    pub kernel: Option<String>,
    /// Processor architecture.
    pub arch: String,
    /// Processor model, if the system tells.
    pub processor: Option<String>,
    /// Processors that this program may use.
    pub cpus: usize,
    /// Memory of the machine in bytes, if the system tells.
    pub memory_bytes: Option<u64>,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            os: std::env::consts::OS.to_owned(),
            kernel: Some(read("/proc/sys/kernel/osrelease").trim().to_owned())
                .filter(|kernel| !kernel.is_empty()),
            arch: std::env::consts::ARCH.to_owned(),
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: field(&read("/proc/meminfo"), "MemTotal").and_then(|text| {
                let kibibytes: u64 = text.split_whitespace().next()?.parse().ok()?;
                Some(kibibytes * 1024)
            }),
        }
    }
}

/// The value after `name` and a colon, on the first line that has it.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 6\nmodel name\t: Fast CPU\nmodel name\t: Other\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Fast CPU"));
        assert_eq!(field(text, "model nam"), None);
        assert!(Machine::this().cpus >= 1);
    }
}
