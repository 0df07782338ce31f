//! Scripted HTTP load: virtual users who send requests that a file describes.
//!
//! `http`, `calls` and `reporting` are such files (`modes/script/`). A [`Scenario`] says what a user
//! does, its [`Profile`] how many there are and when; [`run`] drives them and returns an
//! [`Outcome`]. The parts: `scenario` the format, `template` its placeholders, `users` the virtual
//! users, `requests` what is sent, `metrics` the numbers, `findings` what came of it.

mod findings;
mod metrics;
mod requests;
mod scenario;
mod template;
mod users;

use std::sync::Arc;
use std::time::SystemTime;

pub use requests::Credentials;
pub use scenario::{Profile, Scenario, names, profile_names};
pub use users::spread;

use crate::conditions::Conditions;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::stages::Stages;
use crate::stop::Stop;
use crate::target::Target;
use crate::watch::{Live, Observation, ServerWatch, Watch, sample_interval};
use requests::Sender;

/// What a scripted run needs.
#[derive(Debug)]
pub struct Job {
    /// What the users do.
    pub scenario: Scenario,
    /// How many they are.
    pub stages: Stages,
    /// Factor on the length of every stage.
    pub time_scale: f64,
    /// The server.
    pub target: Target,
    /// Who the users are.
    pub credentials: Credentials,
    /// How the server is watched.
    pub server: ServerWatch,
    /// What is shown meanwhile.
    pub live: Live,
}

/// Drives the users through the stages.
///
/// # Errors
/// There is nothing to measure: the server cannot be reached, refuses the credentials or lacks an
/// endpoint.
pub async fn run(job: Job, mut stop: Stop) -> Result<Outcome, Failure> {
    let Job {
        scenario,
        stages,
        time_scale,
        target,
        credentials,
        server,
        live,
    } = job;
    let url = target.shown().to_owned();
    let sender = Arc::new(Sender::new(scenario, target, credentials)?);
    sender.rehearse().await?;

    let started_at = SystemTime::now();
    let watched = Arc::clone(&sender);
    let watch = Watch::start(
        sample_interval(stages.duration()),
        server,
        live,
        move || {
            let metrics = watched.metrics();
            Observation {
                connections: watched.busy(),
                trends: vec![("http_req_duration", metrics.http_req_duration.clone())],
                counts: vec![("http_reqs", metrics.http_reqs.count())],
            }
        },
    );
    let took = users::drive(&sender, &stages, &mut stop).await;
    let watched = watch.finish().await;
    let conditions = Conditions::of(watched, time_scale, None);
    Ok(findings::outcome(
        &sender,
        &stages,
        url,
        conditions,
        started_at,
        took,
        stop.is_requested(),
    ))
}
