//! Connections by user, with a bounded number of users.

use dormouse_shard::report::WorkerReport;

/// Who stands for all users without a series of their own.
pub const OTHER: &str = "other";

/// The busiest users with their connections, at most `named`, then [`OTHER`] with the rest. The
/// sum is the number of connections; a user whose id happens to be `other` counts as one of the
/// rest, since two series of one name would spoil the whole scrape.
pub fn busiest_users(reports: &[WorkerReport], named: usize) -> Vec<(&str, u64)> {
    let all: u64 = reports.iter().map(|report| report.connections).sum();
    let users = reports.iter().flat_map(|report| &report.busiest);
    let mut users: Vec<(&str, u64)> = users
        .map(|(user, connections)| (user.as_str(), *connections))
        .filter(|(user, connections)| *user != OTHER && *connections > 0)
        .collect();
    users.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    users.truncate(named);
    let named: u64 = users.iter().map(|(_, connections)| connections).sum();
    // Connections on their way between two workers may be counted with their user already.
    users.push((OTHER, all.saturating_sub(named)));
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(connections: u64, busiest: &[(&str, u64)]) -> WorkerReport {
        let busiest = busiest
            .iter()
            .map(|(user, count)| ((*user).to_owned(), *count));
        WorkerReport {
            connections,
            busiest: busiest.collect(),
            ..WorkerReport::default()
        }
    }

    #[test]
    fn the_busiest_of_all_workers_are_named_and_the_rest_is_one_series() {
        let reports = [
            report(10, &[("a", 6), ("b", 4)]),
            report(9, &[("c", 5), ("d", 3)]),
        ];
        assert_eq!(busiest_users(&reports, 2), [("a", 6), ("c", 5), (OTHER, 8)]);
        assert_eq!(busiest_users(&reports, 0), [(OTHER, 19)]);
        assert_eq!(busiest_users(&[], 5), [(OTHER, 0)]);
    }

    #[test]
    fn a_user_called_other_and_users_without_connections_have_no_series() {
        let reports = [report(9, &[(OTHER, 7), ("a", 2), ("gone", 0)])];
        assert_eq!(busiest_users(&reports, 9), [("a", 2), (OTHER, 7)]);
    }
}
