//! What is known of a user's whole hub: kept on the worker that owns the user's first shard, and
//! never put to sleep.
//!
//! Labels are counted per shard, so that what a shard had can be forgotten when its attachments
//! are lost and nobody knows the labels of those that were.

use ahash::{AHashMap, AHashSet};
use dormouse_protocol::{ClientType, Labels};

use crate::manager::members::label_hash;

/// Connections of one shard by the hash of a label.
type Counts = AHashMap<(u64, u16), u32>;

/// A hub beyond its first shard.
#[derive(Debug, Default)]
pub struct HubRecord {
    /// Connections placed in `<userId>-1`, `<userId>-2`, …
    pub siblings: Vec<u32>,
    sessions: Counts,
    machines: Counts,
    /// Machine-scoped connections by machine: online while there is one.
    online: Counts,
}

impl HubRecord {
    /// Counts a connection of a shard; `true` when it brings its machine online.
    pub fn count(&mut self, number: u16, labels: &Labels) -> bool {
        if let Some(session) = &labels.session_id {
            increment(&mut self.sessions, label_hash(session), number);
        }
        let Some(machine) = &labels.machine_id else {
            return false;
        };
        let hash = label_hash(machine);
        increment(&mut self.machines, hash, number);
        if labels.client_type != ClientType::MachineScoped {
            return false;
        }
        let comes_online = !self.is_online(hash);
        increment(&mut self.online, hash, number);
        comes_online
    }

    /// Takes a connection off the counts; `true` when its machine is offline now.
    pub fn discount(&mut self, number: u16, labels: &Labels) -> bool {
        if let Some(session) = &labels.session_id {
            decrement(&mut self.sessions, label_hash(session), number);
        }
        let Some(machine) = &labels.machine_id else {
            return false;
        };
        let hash = label_hash(machine);
        decrement(&mut self.machines, hash, number);
        labels.client_type == ClientType::MachineScoped
            && decrement(&mut self.online, hash, number)
            && !self.is_online(hash)
    }

    /// Takes `lost` connections of unknown labels off a shard whose other connections are `kept`.
    pub fn lose(&mut self, number: u16, lost: u32, kept: &[Labels]) {
        for counts in [&mut self.sessions, &mut self.machines, &mut self.online] {
            counts.retain(|(_, shard), _| *shard != number);
        }
        for labels in kept {
            self.count(number, labels);
        }
        self.forget_siblings(number, lost);
    }

    /// Takes connections off a further shard's count.
    pub fn forget_siblings(&mut self, number: u16, count: u32) {
        if let Some(index) = usize::from(number).checked_sub(1)
            && let Some(connections) = self.siblings.get_mut(index)
        {
            *connections = connections.saturating_sub(count);
            while self.siblings.last() == Some(&0) {
                self.siblings.pop();
            }
        }
    }

    /// Distinct session labels.
    pub fn active_sessions(&self) -> u64 {
        distinct(&self.sessions)
    }

    /// Distinct machine labels.
    pub fn active_machines(&self) -> u64 {
        distinct(&self.machines)
    }

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.siblings.is_empty() && self.sessions.is_empty() && self.machines.is_empty()
    }

    fn is_online(&self, machine: u64) -> bool {
        (0..=self.siblings.len() as u16).any(|number| self.online.contains_key(&(machine, number)))
    }
}

fn increment(counts: &mut Counts, hash: u64, number: u16) {
    *counts.entry((hash, number)).or_default() += 1;
}

/// Takes one off; `true` when none is left.
fn decrement(counts: &mut Counts, hash: u64, number: u16) -> bool {
    let Some(count) = counts.get_mut(&(hash, number)) else {
        return false;
    };
    *count -= 1;
    let is_last = *count == 0;
    if is_last {
        counts.remove(&(hash, number));
    }
    is_last
}

fn distinct(counts: &Counts) -> u64 {
    if counts.keys().all(|(_, number)| *number == 0) {
        return counts.len() as u64;
    }
    let hashes: AHashSet<u64> = counts.keys().map(|(hash, _)| *hash).collect();
    hashes.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon() -> Labels {
        Labels::new(Some("machine-scoped"), Some("s"), Some("m")).unwrap()
    }

    #[test]
    fn a_machine_is_online_from_its_first_connection_to_its_last() {
        let mut hub = HubRecord::default();
        let viewer = Labels::new(None, None, Some("m")).unwrap();
        assert!(
            !hub.count(0, &viewer),
            "only machine-scoped connections are presence"
        );
        assert!(hub.count(0, &daemon()));
        assert!(!hub.count(0, &daemon()), "a reconnect that overlaps");
        assert!(!hub.discount(0, &daemon()));
        assert!(hub.discount(0, &daemon()));
        assert!(!hub.discount(0, &viewer));
        assert!(hub.is_empty());
        assert!(!hub.discount(0, &daemon()), "one that was never counted");
    }

    #[test]
    fn presence_and_distinct_labels_are_of_the_whole_hub() {
        let mut hub = HubRecord {
            siblings: vec![1, 1],
            ..HubRecord::default()
        };
        assert!(hub.count(2, &daemon()));
        assert!(!hub.count(0, &daemon()) && !hub.count(1, &daemon()));
        assert_eq!((hub.active_sessions(), hub.active_machines()), (1, 1));
        assert!(!hub.discount(2, &daemon()));
        hub.forget_siblings(2, 1);
        assert_eq!(hub.siblings, [1]);
        assert!(!hub.discount(0, &daemon()));
        assert!(hub.discount(1, &daemon()));
    }

    #[test]
    fn what_a_shard_lost_is_off_the_counts() {
        let mut hub = HubRecord {
            siblings: vec![0, 3],
            ..HubRecord::default()
        };
        let other = Labels::new(None, Some("t"), None).unwrap();
        for labels in [&daemon(), &other, &other] {
            hub.count(2, labels);
        }
        hub.count(0, &other);
        hub.lose(2, 2, std::slice::from_ref(&other));
        assert_eq!((hub.active_sessions(), hub.active_machines()), (1, 0));
        assert_eq!(hub.siblings, [0, 1]);
        assert!(hub.count(2, &daemon()), "its machine can come online again");
        hub.discount(2, &daemon());
        hub.lose(2, 1, &[]);
        hub.discount(0, &other);
        assert!(hub.is_empty());
    }
}
