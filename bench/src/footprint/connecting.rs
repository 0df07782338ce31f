//! Connecting: what a handshake and a farewell cost.

use super::generator::Generator;
use super::meter::{Cost, Meter};
use super::trouble::Trouble;

/// Handshakes and farewells under way at the same time.
pub(super) const IN_FLIGHT: usize = 64;

/// Opens and closes this many connections and measures both.
///
/// A connection counts as open once it has been greeted, and as closed once the server has hung
/// up.
///
/// # Errors
/// [`Trouble`].
pub(super) fn measure(generator: &mut Generator, count: usize) -> Result<[Cost; 2], Trouble> {
    let meter = Meter::start(generator)?;
    generator.open(count, IN_FLIGHT)?;
    let opened = meter.stop(generator, count as u64, None)?;
    let meter = Meter::start(generator)?;
    generator.close(IN_FLIGHT)?;
    let closed = meter.stop(generator, count as u64, None)?;
    Ok([opened, closed])
}
