//! Which of a user's shards takes a new connection: a pure function.
//!
//! While the first shard has room, a connection goes there, so that a user within one shard's
//! limit is served by one thread without any hop. Past that the active shards grow with need,
//! and a connection goes to the one that its id hashes to, or the next with room. A connection
//! never moves, so occupancy may be uneven after departures; the hash evens it out again.

use dormouse_protocol::ConnectionId;

use crate::tier::Tier;

/// The number of the shard that takes the connection (0 is the user's first), or `None` when the
/// user is at the cap of the tier.
///
/// `occupancy` holds the connections of each active shard, first to last. A cap that was lowered
/// below what is connected refuses newcomers and disturbs nobody.
pub fn place(occupancy: &[u32], tier: &Tier, connection: ConnectionId) -> Option<u16> {
    let total = occupancy
        .iter()
        .fold(0_u32, |sum, count| sum.saturating_add(*count));
    let room = |number: u16| {
        occupancy.get(usize::from(number)).copied().unwrap_or(0) < tier.connections_per_shard
    };
    if total >= tier.limit() {
        return None;
    }
    if room(0) {
        return Some(0);
    }
    let needed = (total / tier.connections_per_shard.max(1)).saturating_add(1);
    let active = u16::try_from(occupancy.len().max(needed as usize))
        .unwrap_or(u16::MAX)
        .min(tier.max_shards);
    let first = hash(connection) % u64::from(active.max(1));
    (0..active)
        .map(|step| ((first + u64::from(step)) % u64::from(active)) as u16)
        .find(|number| room(*number))
}

/// Ids are random, so their own bits are the hash; folding them keeps ids made by others even.
fn hash(connection: ConnectionId) -> u64 {
    let bits = u128::from_le_bytes(*connection.as_bytes());
    let folded = (bits as u64) ^ (bits >> 64) as u64;
    folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tier(connections_per_shard: u32, max_shards: u16) -> Tier {
        Tier {
            name: "t".into(),
            connections_per_shard,
            max_shards,
        }
    }

    fn fill(tier: &Tier, count: u32) -> Vec<u32> {
        let mut occupancy = vec![0; usize::from(tier.max_shards)];
        for _ in 0..count {
            let active = occupancy
                .iter()
                .rposition(|n| *n > 0)
                .map_or(0, |last| last + 1);
            let number = place(&occupancy[..active], tier, ConnectionId::random()).unwrap();
            occupancy[usize::from(number)] += 1;
        }
        occupancy
    }

    #[test]
    fn the_first_shard_fills_first() {
        assert_eq!(fill(&tier(500, 4), 500), [500, 0, 0, 0]);
        assert_eq!(fill(&tier(500, 4), 750), [500, 250, 0, 0]);
    }

    #[test]
    fn the_cap_is_the_product() {
        let tier = tier(20, 2);
        assert_eq!(fill(&tier, 40), [20, 20]);
        assert_eq!(place(&[20, 20], &tier, ConnectionId::random()), None);
    }

    #[test]
    fn past_the_first_shard_the_active_ones_are_balanced() {
        // The first is full and three others have much room: ids spread evenly over them.
        let tier = tier(10_000, 4);
        let mut taken = [10_000, 1, 1, 1];
        for _ in 0..9_000 {
            let number = place(&taken, &tier, ConnectionId::random()).unwrap();
            taken[usize::from(number)] += 1;
        }
        // Those hashed to the full first shard go to its neighbour: two parts against one and one.
        assert!((4_100..4_900).contains(&taken[1]), "{taken:?}");
        assert!((2_000..2_500).contains(&taken[2]), "{taken:?}");
        assert!((2_000..2_500).contains(&taken[3]), "{taken:?}");
    }

    #[test]
    fn a_lowered_cap_refuses_newcomers_only() {
        assert_eq!(
            place(&[500, 100], &tier(20, 1), ConnectionId::random()),
            None
        );
        assert_eq!(
            place(&[500, 100], &tier(400, 2), ConnectionId::random()),
            Some(1)
        );
    }

    proptest! {
        #[test]
        fn a_shard_is_never_overfull_and_room_is_always_found(
            occupancy in prop::collection::vec(0_u32..6, 0..6),
            per_shard in 1_u32..5,
            max_shards in 1_u16..6,
            id in any::<[u8; 16]>(),
        ) {
            let tier = tier(per_shard, max_shards);
            let id = ConnectionId::from_random(id);
            let total: u32 = occupancy.iter().sum();
            match place(&occupancy, &tier, id) {
                Some(number) => {
                    prop_assert!(number < max_shards);
                    let before = occupancy.get(usize::from(number)).copied().unwrap_or(0);
                    prop_assert!(before < per_shard);
                    prop_assert!(total < tier.limit());
                }
                None => {
                    let full = |n: u16| {
                        occupancy.get(usize::from(n)).copied().unwrap_or(0) >= per_shard
                    };
                    // Full, or over the cap in shards that a lowered cap no longer counts.
                    prop_assert!(total >= tier.limit() || (0..max_shards).all(full));
                }
            }
            // Stable: the same question has the same answer.
            prop_assert_eq!(place(&occupancy, &tier, id), place(&occupancy, &tier, id));
        }
    }
}
