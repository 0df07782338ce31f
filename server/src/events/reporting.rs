//! Reports over call records: exact to the rows, read mostly from their sums (contract events.md
//! section 9).

pub mod answer;
pub mod query;
pub mod range;
pub mod tally;

pub use query::{Grouping, ReportQuery, report};
pub use tally::Tally;
