//! Who has received which numbered event: exact, and a bit for each.
//!
//! Events are numbered from 0 in the order in which they are due; each receiver keeps its own
//! [`Receipts`], and [`reconcile`] holds them against what was published. Pure.

use std::time::Instant;

/// A set of numbers, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// Adds a number; `false` if it was there.
    pub fn insert(&mut self, number: usize) -> bool {
        let (word, bit) = (number / 64, 1_u64 << (number % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let Some(word) = self.0.get_mut(word) else {
            return false;
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Whether a number is there.
    pub fn contains(&self, number: usize) -> bool {
        let word = self.0.get(number / 64).copied().unwrap_or(0);
        word & (1 << (number % 64)) != 0
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What became of an event on its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The server took it; sent and answered at these moments.
    Accepted(Instant, Instant),
    /// The server refused it.
    Refused,
    /// No answer: whether it was published is unknown.
    Unanswered,
}

/// What one receiver has.
#[derive(Clone, Debug)]
pub struct Receipts {
    /// From when on it must receive.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
    /// The numbers that came.
    pub seen: Bits,
    /// How many came again.
    pub duplicated: u64,
}

impl Receipts {
    /// A receiver that must receive from now on.
    pub fn new(from: Instant) -> Self {
        Self {
            from,
            until: from,
            seen: Bits::default(),
            duplicated: 0,
        }
    }

    /// An event has come; `false` if it had come before.
    pub fn take(&mut self, number: usize) -> bool {
        let new = self.seen.insert(number);
        self.duplicated += u64::from(!new);
        new
    }
}

/// The sum over all receivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Deliveries that must have come.
    pub expected: u64,
    /// Those that did.
    pub received: u64,
    /// Those that came again.
    pub duplicated: u64,
    /// Deliveries of events that the server refused, or that were never sent.
    pub wrong: u64,
}

impl Sums {
    /// Deliveries that never came.
    pub fn lost(&self) -> u64 {
        self.expected - self.received
    }
}

/// Holds what came against what was published. `exempt` tells of a receiver, by its place, and an
/// event that the receiver must not get it (its own sender, for one).
///
/// An event is expected at a receiver if all of its publication, from sending to the answer, lies
/// within the receiver's time. What overlaps an end of it may come or not.
pub fn reconcile(
    events: &[Published],
    receivers: &[Receipts],
    exempt: impl Fn(usize, usize) -> bool,
) -> Sums {
    let mut sums = Sums::default();
    for (place, receiver) in receivers.iter().enumerate() {
        sums.duplicated += receiver.duplicated;
        let mut known = 0;
        for (number, event) in events.iter().enumerate() {
            let came = receiver.seen.contains(number);
            known += u64::from(came);
            match event {
                _ if exempt(place, number) => sums.wrong += u64::from(came),
                Published::Accepted(sent, answered) => {
                    if *sent >= receiver.from && *answered <= receiver.until {
                        sums.expected += 1;
                        sums.received += u64::from(came);
                    }
                }
                Published::Refused => sums.wrong += u64::from(came),
                Published::Unanswered => {}
            }
        }
        sums.wrong += receiver.seen.len() - known;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    proptest! {
        #[test]
        fn bits_are_a_set(numbers in proptest::collection::vec(0_usize..500, 0..100)) {
            let mut bits = Bits::default();
            let mut set = BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(bits.insert(number), set.insert(number));
            }
            prop_assert_eq!(bits.len(), set.len() as u64);
            for number in 0..520 {
                prop_assert_eq!(bits.contains(number), set.contains(&number));
            }
        }
    }

    #[test]
    fn every_fault_shows_in_its_place() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let events = [
            Published::Accepted(at(1), at(2)), // before the second receiver came
            Published::Accepted(at(4), at(5)),
            Published::Refused,
            Published::Unanswered,
            Published::Accepted(at(6), at(7)),
            Published::Accepted(at(9), at(11)), // answered after both had left
        ];
        let receiver = |from, seen: &[usize]| {
            let mut receipts = Receipts::new(at(from));
            receipts.until = at(10);
            seen.iter().for_each(|number| {
                receipts.take(*number);
            });
            receipts
        };
        let exact = [receiver(0, &[0, 1, 3, 4]), receiver(3, &[1, 4, 5])];
        let sums = reconcile(&events, &exact, |_, _| false);
        assert_eq!(
            sums,
            Sums {
                expected: 5,
                received: 5,
                duplicated: 0,
                wrong: 0
            }
        );

        let faulty = [receiver(0, &[0, 2, 4, 4]), receiver(3, &[1, 4, 99])];
        let sums = reconcile(&events, &faulty, |_, _| false);
        assert_eq!(
            sums,
            Sums {
                expected: 5,
                received: 4,
                duplicated: 1,
                wrong: 2
            }
        );
        assert_eq!(sums.lost(), 1);

        // The first receiver sent the events with even numbers.
        let own = [receiver(0, &[1, 4])];
        let sums = reconcile(&events, &own, |place, number| place == 0 && number % 2 == 0);
        assert_eq!(
            sums,
            Sums {
                expected: 1,
                received: 1,
                duplicated: 0,
                wrong: 1
            }
        );
    }
}
