//! Idle memory: what a connection keeps resident in the server, awake and asleep.

use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::connecting::IN_FLIGHT;
use super::dialect::Shards;
use super::generator::Generator;
use super::sleep::{shards, wait_for_sleep};
use super::subject::Subject;
use super::trouble::Trouble;
use super::{echo, fan_out};
use crate::procfs::{self, KernelMemory};

pub(super) use crate::procfs::Memory;
use crate::token::Token;

/// Connections before the first reading, so that code, tables and thread-local pools are not
/// counted as the connections'.
pub(super) const WARM_UP: usize = 100;

/// How the memory is to be measured.
#[derive(Clone, Debug)]
pub(super) struct MemoryPlan {
    pub(super) connections: usize,
    /// Without it, sleep cannot be seen and is not measured.
    pub(super) admin: Option<Token>,
    pub(super) sleep_timeout: Duration,
    pub(super) settle: Duration,
}

/// What was measured. Bytes per connection are growth divided by connections.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryFigures {
    /// Idle connections.
    pub connections: usize,
    /// Accounts that they belong to.
    pub accounts: usize,
    /// Before they were opened.
    pub before: Memory,
    /// After each had exchanged one ping and one broadcast.
    pub awake: Memory,
    /// Shards at that moment; `None` without an admin token.
    pub shards_awake: Option<Shards>,
    /// Once all shards slept; `None` if that was not to be seen or did not come in time.
    pub asleep: Option<Memory>,
    /// Shards at that moment, or at the end of the patience.
    pub shards_asleep: Option<Shards>,
    /// Seconds until all shards slept.
    pub seconds_until_asleep: Option<f64>,
    /// Resident bytes for each awake connection.
    pub awake_bytes_per_connection: f64,
    /// Resident bytes for each sleeping connection.
    pub asleep_bytes_per_connection: Option<f64>,
    /// Kernel slab for each socket (both ends are on this machine, so this is half the growth).
    /// The whole machine's: only meaningful while nothing else opens sockets.
    pub kernel_slab_bytes_per_socket: f64,
    /// Bytes in TCP buffers for each socket.
    pub kernel_buffer_bytes_per_socket: f64,
}

/// Measures it.
///
/// # Errors
/// [`Trouble`].
pub(super) fn measure(
    subject: &Rc<Subject>,
    patience: Duration,
    plan: &MemoryPlan,
) -> Result<MemoryFigures, Trouble> {
    let mut generator = Generator::new(subject, patience)?;
    echo::open_and_ping(&mut generator, WARM_UP)?;
    fan_out::once_to_each_account(&mut generator)?;
    generator.close(IN_FLIGHT)?;
    generator.rest(plan.settle)?;

    let before = procfs::memory(subject.pid)?;
    let kernel_before = procfs::kernel_memory()?;
    echo::open_and_ping(&mut generator, plan.connections)?;
    fan_out::once_to_each_account(&mut generator)?;
    generator.rest(plan.settle)?;
    let awake = procfs::memory(subject.pid)?;
    let kernel = procfs::kernel_memory()?;

    let mut shards_awake = None;
    let mut slept = None;
    if let Some(admin) = &plan.admin {
        shards_awake = Some(shards(&mut generator, admin)?);
        slept = Some(wait_for_sleep(&mut generator, admin, plan.sleep_timeout)?);
    }
    let took = slept.as_ref().and_then(|slept| slept.1);
    let asleep = match took {
        Some(_) => {
            generator.rest(plan.settle)?;
            Some(procfs::memory(subject.pid)?)
        }
        None => None,
    };
    generator.close(IN_FLIGHT)?;

    let per_connection = |after: Memory| growth(before.resident, after.resident, plan.connections);
    let sockets = plan.connections * 2;
    let per_socket =
        |of: fn(&KernelMemory) -> u64| growth(of(&kernel_before), of(&kernel), sockets);
    Ok(MemoryFigures {
        connections: plan.connections,
        accounts: subject.tokens.len().min(plan.connections),
        before,
        awake,
        shards_awake,
        asleep,
        shards_asleep: slept.as_ref().map(|slept| slept.0),
        seconds_until_asleep: took.map(|took| took.as_secs_f64()),
        awake_bytes_per_connection: per_connection(awake),
        asleep_bytes_per_connection: asleep.map(per_connection),
        kernel_slab_bytes_per_socket: per_socket(|memory| memory.slab),
        kernel_buffer_bytes_per_socket: per_socket(|memory| memory.tcp_buffers),
    })
}

/// Bytes that each of so many has added.
pub(super) fn growth(before: u64, after: u64, count: usize) -> f64 {
    (after as f64 - before as f64) / count.max(1) as f64
}
