//! A data folder that cannot be written to: the server says so at its start, with the remedy.

use futures_util::FutureExt as _;

use super::disk_full::can_mount;
use super::{Done, Fault, FaultPlan};
use crate::failure::Failure;
use crate::trial::{Checks, Launch, broken};

/// The shell line that mounts the data folder read-only, for the server alone.
const READ_ONLY: &str = r#"data="$0"; export data; exec unshare --mount sh -c 'mount --bind "$data" "$data" && mount -o remount,ro,bind "$data" && exec "$0" "$@"' "$@""#;

pub(super) const FAULT: Fault = Fault {
    name: "read-only",
    about: "the data folder is read-only at the start",
    run: |plan, checks| run(plan, checks).boxed_local(),
};

async fn run(plan: &FaultPlan, checks: &mut Checks) -> Result<Done, Failure> {
    if !can_mount() {
        return Ok(Done::NotRun(
            "only root can mount a folder read-only".to_owned(),
        ));
    }
    let folder = tempfile::tempdir().map_err(|err| broken("a folder", err))?;
    let data = folder.path().join("data");
    let mut launch = Launch::new(&plan.server, &data);
    // What it finds was written while that could be done.
    launch.start().await?.stop().await?;
    launch.line = Some(READ_ONLY.to_owned());
    let refused = launch.start().await.map(drop);
    let told = refused.err().map(|err| err.to_string()).unwrap_or_default();
    let named = told.contains(&data.display().to_string());
    checks.holds(
        "read-only: refused at the start, the folder named",
        "read_only_refused",
        named,
    )?;
    launch.line = None;
    let mut server = launch.start().await?;
    let ended = server.stop().await?;
    checks.holds(
        "read-only: starts again once it can write",
        "read_only_recovered",
        ended.success(),
    )?;
    let last = told.rsplit(": ").next().unwrap_or_default().to_owned();
    Ok(Done::Made(format!("refused at the start ({last})")))
}
