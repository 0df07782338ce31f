//! What virtual users do, read from TOML: groups of requests with weights, what is demanded of the
//! answers, pauses, thresholds; and the profiles that say how many users there are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::metrics::empty_metrics;
use super::template::Template;
use crate::criteria::Criterion;
use crate::failure::Failure;
use crate::stages::{Stage, Stages};
use crate::stats::Snapshot;
use crate::threshold::Threshold;

/// Name and text of every scenario that comes with the program.
const BUILT_IN: [(&str, &str); 6] = [
    (
        "health-check",
        include_str!("../../modes/script/health-check.toml"),
    ),
    (
        "sessions-api",
        include_str!("../../modes/script/sessions-api.toml"),
    ),
    (
        "websocket",
        include_str!("../../modes/script/websocket.toml"),
    ),
    ("full-api", include_str!("../../modes/script/full-api.toml")),
    ("calls", include_str!("../../modes/script/calls.toml")),
    (
        "reporting",
        include_str!("../../modes/script/reporting.toml"),
    ),
];

const PROFILES: &str = include_str!("../../modes/script/profiles.toml");

/// The names of the `http` scenarios.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|scenario| scenario.0).take(4)
}

/// The names of the profiles.
pub fn profile_names() -> Vec<String> {
    let profiles: BTreeMap<String, ProfileFile> = toml::from_str(PROFILES).unwrap_or_default();
    profiles.into_keys().collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    name: String,
    title: String,
    auth: Auth,
    #[serde(default)]
    stages: Vec<Stage>,
    /// Between the beginnings of a user's turns, or after the end of one whose requests have
    /// delays of their own.
    pause: Span,
    #[serde(with = "humantime_serde")]
    timeout: Duration,
    #[serde(default)]
    names: Names,
    thresholds: Vec<String>,
    #[serde(default)]
    criteria: Vec<CriterionText>,
    groups: Vec<GroupFile>,
}

/// Further names of the overall metrics, as the load-test documents have them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Names {
    /// Of the share of requests that were answered as demanded.
    pub(super) success: Option<String>,
    /// Of the time of a request.
    pub(super) latency: Option<String>,
    /// Of the requests a second at the peak.
    pub(super) throughput: Option<String>,
}

/// How the requests of a scenario are authorised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// Not at all.
    None,
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key`, with the tenant asserted.
    ApiKey,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CriterionText {
    name: String,
    all: Vec<String>,
    /// Asks for what only the scenario's own number of users can reach.
    #[serde(default, rename = "full-only")]
    full_only: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupFile {
    weight: u32,
    requests: Vec<RequestFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RequestFile {
    name: String,
    method: String,
    path: String,
    body: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    auth: Option<Auth>,
    #[serde(default = "ok")]
    expect: Vec<u16>,
    check: Option<CheckFile>,
    #[serde(default)]
    capture: BTreeMap<String, String>,
    #[serde(default)]
    delay: Span,
    #[serde(default, with = "humantime_serde")]
    within: Option<Duration>,
}

fn ok() -> Vec<u16> {
    vec![200]
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckFile {
    at: String,
    equals: Option<String>,
    contains: Option<String>,
}

/// A time between two bounds, chosen anew each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    #[serde(with = "humantime_serde")]
    from: Duration,
    #[serde(with = "humantime_serde")]
    to: Duration,
}

impl Span {
    /// The time at this share of the way.
    pub(super) fn at(self, share: f64) -> Duration {
        self.from + self.to.saturating_sub(self.from).mul_f64(share)
    }
}

/// What virtual users do.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name, with the profile's.
    pub name: String,
    /// Heading of the criteria.
    pub title: String,
    pub(super) auth: Auth,
    /// Its own stages, where it takes no profile.
    pub stages: Stages,
    pub(super) pause: Span,
    pub(super) timeout: Duration,
    pub(super) names: Names,
    pub(super) groups: Vec<Group>,
    /// The groups of successive turns, each as often as its weight says.
    order: Vec<usize>,
    thresholds: Vec<String>,
    criteria: Vec<(String, Vec<String>)>,
    /// The names of those that only the scenario's own number of users can meet.
    full_only: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) weight: u32,
    pub(super) requests: Vec<Request>,
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Its name in metrics and its place among all.
    pub(super) name: String,
    pub(super) number: usize,
    pub(super) method: reqwest::Method,
    pub(super) path: Template,
    /// As it stands in the file, for failures.
    pub(super) endpoint: String,
    pub(super) body: Option<Template>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) auth: Auth,
    pub(super) expect: Vec<u16>,
    pub(super) check: Option<Check>,
    pub(super) capture: BTreeMap<String, String>,
    /// After the answer before.
    pub(super) delay: Span,
    /// An answer that takes longer is no success.
    pub(super) within: Option<Duration>,
}

/// What an answer must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    at: String,
    equals: Option<String>,
    contains: Option<String>,
}

impl Check {
    /// Whether it holds for an answer's body.
    pub(super) fn holds(&self, body: &serde_json::Value) -> bool {
        let Some(found) = body.pointer(&self.at) else {
            return false;
        };
        let text = found.as_str();
        self.equals
            .as_deref()
            .is_none_or(|expected| text == Some(expected))
            && self
                .contains
                .as_deref()
                .is_none_or(|part| text.is_some_and(|text| text.contains(part)))
    }
}

/// How many users there are and when.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The shape of the load.
    pub stages: Stages,
    criteria: Vec<(String, Vec<String>)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    stages: Vec<Stage>,
    #[serde(default)]
    criteria: Vec<CriterionText>,
}

impl Profile {
    /// No profile: the caller says how many users there are.
    pub fn custom() -> Self {
        Self {
            name: "custom".to_owned(),
            stages: Stages::new(Vec::new()),
            criteria: Vec::new(),
        }
    }

    /// The profile of that name.
    ///
    /// # Errors
    /// [`Failure::Usage`]: there is none; names those that are.
    pub fn named(name: &str) -> Result<Self, Failure> {
        let mut profiles: BTreeMap<String, ProfileFile> =
            toml::from_str(PROFILES).map_err(|err| Failure::Usage(err.to_string()))?;
        let known = || profile_names().join(", ");
        let file = profiles.remove(name).ok_or_else(|| {
            Failure::Usage(format!("unknown profile \"{name}\"; use {}", known()))
        })?;
        Ok(Self {
            name: name.to_owned(),
            stages: Stages::new(file.stages),
            criteria: pairs(file.criteria),
        })
    }
}

fn pairs(criteria: Vec<CriterionText>) -> Vec<(String, Vec<String>)> {
    criteria
        .into_iter()
        .map(|criterion| (criterion.name, criterion.all))
        .collect()
}

impl Scenario {
    /// The scenario of that name.
    ///
    /// # Errors
    /// [`Failure::Usage`]: there is none; names those that are.
    pub fn named(name: &str) -> Result<Self, Failure> {
        let text = BUILT_IN.iter().find(|scenario| scenario.0 == name);
        let (name, text) = text.ok_or_else(|| {
            let known = names().collect::<Vec<_>>().join(", ");
            Failure::Usage(format!("unknown scenario \"{name}\"; use {known}"))
        })?;
        Self::parse(name, text)
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// [`Failure::Usage`], naming the request or threshold at fault.
    pub fn parse(name: &str, text: &str) -> Result<Self, Failure> {
        let refuse = |reason: String| Failure::Usage(format!("scenario {name}: {reason}"));
        let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let file: File = toml::from_str(text).map_err(|err| refuse(one_line(err.to_string())))?;
        let mut number = 0;
        let mut groups = Vec::new();
        for group in file.groups {
            let mut captured = BTreeSet::new();
            let mut requests = Vec::new();
            for request in group.requests {
                requests.push(read(request, &captured, number, file.auth).map_err(refuse)?);
                number += 1;
                let last = requests.last();
                captured.extend(
                    last.into_iter()
                        .flat_map(|last| last.capture.keys().cloned()),
                );
            }
            groups.push(Group {
                weight: group.weight,
                requests,
            });
        }
        if groups
            .iter()
            .all(|group| group.weight == 0 || group.requests.is_empty())
        {
            return Err(refuse(
                "no group has both a weight and a request".to_owned(),
            ));
        }
        let scenario = Self {
            name: file.name,
            title: file.title,
            auth: file.auth,
            stages: Stages::new(file.stages),
            pause: file.pause,
            timeout: file.timeout,
            names: file.names,
            order: order(&groups),
            groups,
            thresholds: file.thresholds,
            full_only: {
                let full = file.criteria.iter().filter(|criterion| criterion.full_only);
                full.map(|criterion| criterion.name.clone()).collect()
            },
            criteria: pairs(file.criteria),
        };
        // A misspelt threshold must be refused before the run.
        scenario.judged_by(1)?;
        Ok(scenario)
    }

    /// The same with a profile's criteria, named after both.
    pub fn with(mut self, profile: &Profile) -> Self {
        self.name = format!("http-{}-{}", self.name, profile.name);
        self.criteria.extend(profile.criteria.iter().cloned());
        self
    }

    /// The same for another number of users than its own.
    pub fn for_other_users(mut self) -> Self {
        let full_only = std::mem::take(&mut self.full_only);
        self.criteria
            .retain(|criterion| !full_only.contains(&criterion.0));
        self
    }

    /// The names of all requests, by number.
    pub(super) fn request_names(&self) -> Vec<String> {
        let requests = self.groups.iter().flat_map(|group| &group.requests);
        requests.map(|request| request.name.clone()).collect()
    }

    /// The group of a turn, counted over all users together: even a short run with one user
    /// reaches every endpoint, and every run has the mix that the weights say.
    pub(super) fn group(&self, turn: u64) -> Option<&Group> {
        let place = turn.checked_rem(self.order.len() as u64)?;
        self.groups.get(*self.order.get(place as usize)?)
    }

    /// The thresholds and criteria for so many users at the peak.
    ///
    /// # Errors
    /// One cannot be read or names an unknown metric.
    pub(super) fn judged_by(
        &self,
        users: usize,
    ) -> Result<(Vec<Threshold>, Vec<Criterion>), Failure> {
        let metrics: Snapshot = empty_metrics(self);
        let read = |text: &String| {
            let text = text.replace("{users}", &users.to_string());
            let parsed = Threshold::parse(&text).and_then(|threshold| {
                threshold.check_metric(&metrics)?;
                Ok(threshold)
            });
            parsed.map_err(|err| {
                Failure::Usage(format!(
                    "scenario {}: threshold \"{text}\": {err}",
                    self.name
                ))
            })
        };
        let all = |texts: &[String]| texts.iter().map(read).collect::<Result<Vec<_>, _>>();
        let criteria = self.criteria.iter().map(|(name, texts)| {
            Ok(Criterion {
                name: name.replace("{users}", &users.to_string()),
                all: all(texts)?,
            })
        });
        Ok((
            all(&self.thresholds)?,
            criteria.collect::<Result<_, Failure>>()?,
        ))
    }
}

/// Every group as often as its weight says, spread evenly: whoever is furthest behind its share of
/// the turns so far comes next.
fn order(groups: &[Group]) -> Vec<usize> {
    let total: u32 = groups.iter().map(|group| group.weight).sum();
    let mut given = vec![0_u32; groups.len()];
    let mut order = Vec::with_capacity(total as usize);
    for turn in 1..=u64::from(total) {
        let lag = |place: usize| {
            let due = groups.get(place).map_or(0, |group| u64::from(group.weight)) * turn;
            let had = given.get(place).map_or(0, |given| u64::from(*given)) * u64::from(total);
            due as i64 - had as i64
        };
        // Of those equally far behind, the first.
        let Some(next) = (0..groups.len()).rev().max_by_key(|place| lag(*place)) else {
            break;
        };
        if let Some(given) = given.get_mut(next) {
            *given += 1;
        }
        order.push(next);
    }
    order
}

fn read(
    file: RequestFile,
    captured: &BTreeSet<String>,
    number: usize,
    auth: Auth,
) -> Result<Request, String> {
    let name = file.name;
    let template = |text: &str| {
        Template::parse(text, captured)
            .map_err(|unknown| format!("request {name}: nothing is known as {{{unknown}}}"))
    };
    let method = reqwest::Method::from_bytes(file.method.as_bytes());
    Ok(Request {
        path: template(&file.path)?,
        body: file.body.as_deref().map(&template).transpose()?,
        method: method.map_err(|_| format!("request {name}: no such method"))?,
        endpoint: {
            let path = file.path.split('?').next().unwrap_or_default();
            format!("{} {path}", file.method)
        },
        number,
        headers: file.headers,
        auth: file.auth.unwrap_or(auth),
        expect: file.expect,
        check: file.check.map(|check| Check {
            at: check.at,
            equals: check.equals,
            contains: check.contains,
        }),
        capture: file.capture,
        delay: file.delay,
        within: file.within,
        name,
    })
}

#[cfg(test)]
mod tests;
