//! The server's processor time and memory, read from its process or from its `/metrics`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::target::Target;

/// How long `/metrics` may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// One reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerReading {
    /// Processor time since the server's start.
    pub(crate) cpu: Duration,
    /// Resident bytes.
    pub(crate) memory: u64,
}

/// What the server used during a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerUse {
    /// Processor seconds.
    pub cpu_seconds: f64,
    /// Processors used on average: 1 is one of them fully.
    pub cpu: f64,
    /// Resident bytes before the first connection.
    pub memory_before_bytes: u64,
    /// The most that was seen.
    pub memory_peak_bytes: u64,
    /// At the end.
    pub memory_after_bytes: u64,
}

impl ServerUse {
    pub(super) fn between(
        first: Option<ServerReading>,
        last: Option<ServerReading>,
        peak: u64,
        took: Duration,
    ) -> Option<Self> {
        let (first, last) = (first?, last?);
        let cpu_seconds = last.cpu.saturating_sub(first.cpu).as_secs_f64();
        Some(Self {
            cpu_seconds,
            cpu: cpu_seconds / took.as_secs_f64().max(1e-6),
            memory_before_bytes: first.memory,
            memory_peak_bytes: peak,
            memory_after_bytes: last.memory,
        })
    }
}

/// Where the server's use can be read.
#[derive(Clone, Debug)]
pub struct ServerWatch(Source);

#[derive(Clone, Debug)]
enum Source {
    None,
    #[cfg(target_os = "linux")]
    Process(u32),
    Metrics(reqwest::Client, url::Url, Option<crate::token::Token>),
}

impl ServerWatch {
    /// Sees nothing.
    pub fn none() -> Self {
        Self(Source::None)
    }

    /// Reads the process of this machine that has this id, or else the server's `/metrics`
    /// (`process_cpu_seconds_total`, `process_resident_memory_bytes`), with the admin's token
    /// where the page wants one.
    ///
    /// # Errors
    /// There is no such process: the reason.
    pub fn new(
        target: &Target,
        pid: Option<u32>,
        admin: Option<crate::token::Token>,
    ) -> Result<Self, String> {
        #[cfg(target_os = "linux")]
        if let Some(pid) = pid {
            return match crate::procfs::memory(pid) {
                Ok(_) => Ok(Self(Source::Process(pid))),
                Err(err) => Err(format!(
                    "cannot see process {pid}: {err}; give the server's process id with --pid, or \
                     leave it out to read /metrics"
                )),
            };
        }
        #[cfg(not(target_os = "linux"))]
        if pid.is_some() {
            return Err("--pid needs Linux; leave it out to read /metrics".to_owned());
        }
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .build();
        let client = client.map_err(|err| format!("cannot set up the HTTP client: {err}"))?;
        Ok(Self(Source::Metrics(
            client,
            target.http("/metrics"),
            admin,
        )))
    }

    /// Reads. A server that does not tell is asked no second time.
    pub(crate) async fn read(&mut self) -> Option<ServerReading> {
        match &self.0 {
            Source::None => None,
            #[cfg(target_os = "linux")]
            Source::Process(pid) => {
                let (cpu, memory) = (crate::procfs::cpu_time(*pid), crate::procfs::memory(*pid));
                match (cpu, memory) {
                    (Ok(cpu), Ok(memory)) => Some(ServerReading {
                        cpu: cpu.total,
                        memory: memory.resident,
                    }),
                    _ => None,
                }
            }
            Source::Metrics(client, url, admin) => {
                let mut request = client.get(url.clone());
                if let Some(admin) = admin {
                    request = request.bearer_auth(admin.expose());
                }
                let page = match request.send().await {
                    Ok(answer) if answer.status().is_success() => answer.text().await.ok(),
                    Ok(_) => {
                        self.0 = Source::None;
                        None
                    }
                    // Too busy to answer in time, perhaps: the next look may do better.
                    Err(_) => None,
                };
                page.as_deref().and_then(parse)
            }
        }
    }
}

/// The two process metrics of a Prometheus page.
fn parse(page: &str) -> Option<ServerReading> {
    let value = |name: &str| {
        page.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.strip_prefix(' ')?
                .split_whitespace()
                .next()?
                .parse::<f64>()
                .ok()
        })
    };
    let cpu = value("process_cpu_seconds_total").filter(|seconds| seconds.is_finite())?;
    let memory = value("process_resident_memory_bytes").filter(|bytes| bytes.is_finite())?;
    Some(ServerReading {
        cpu: Duration::try_from_secs_f64(cpu).ok()?,
        memory: memory as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metrics_page_tells_processor_time_and_memory() {
        let page = "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 12.5\n\
                    process_resident_memory_bytes 1.048576e+06\n\
                    process_resident_memory_bytes_max 9\n";
        let reading = ServerReading {
            cpu: Duration::from_millis(12_500),
            memory: 1 << 20,
        };
        assert_eq!(parse(page), Some(reading));
        for page in [
            "",
            "process_cpu_seconds_total NaN\nprocess_resident_memory_bytes 1\n",
            "process_cpu_seconds_total -1\nprocess_resident_memory_bytes 1\n",
            "\u{0}",
        ] {
            assert_eq!(parse(page), None);
        }
    }

    #[test]
    fn use_is_the_difference_of_two_readings() {
        let reading = |seconds, memory| {
            let cpu = Duration::from_secs(seconds);
            Some(ServerReading { cpu, memory })
        };
        let took = Duration::from_secs(4);
        let usage = ServerUse::between(reading(1, 10), reading(3, 30), 40, took).unwrap();
        assert_eq!((usage.cpu_seconds, usage.cpu), (2.0, 0.5));
        assert_eq!(
            (usage.memory_before_bytes, usage.memory_peak_bytes),
            (10, 40)
        );
        assert_eq!(ServerUse::between(None, reading(3, 30), 0, took), None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_process_is_read_and_one_that_is_not_there_is_named() {
        let target = Target::parse("http://127.0.0.1:1").unwrap();
        let own = std::process::id();
        let mut watch = ServerWatch::new(&target, Some(own), None).unwrap();
        assert!(watch.read().await.unwrap().memory > 4096);
        let err = ServerWatch::new(&target, Some(u32::MAX), None).unwrap_err();
        assert!(err.contains("--pid"), "{err}");
    }
}
