//! The numbers of a run: what is collected while it goes and what is said about it afterwards.
//!
//! Owns the four kinds of metric the load-test documents name (trend, counter, gauge, rate), their
//! summaries, the median and the regression line. Every scenario collects with these. Pure: no
//! clock, no I/O.

mod collect;
mod median;
mod regression;
mod summary;

pub use collect::{Counter, Figure, Gauge, Rate, Reading, Trend};
pub use median::median;
pub use regression::{Regression, regression};
pub use summary::{Snapshot, Statistic, StatisticError, Summary};
