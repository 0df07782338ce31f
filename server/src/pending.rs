//! How many connections may be open without having said who they are (realtime contract, 2.3).

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ahash::AHashMap;

/// Places for unauthenticated connections, in total and per address.
#[derive(Debug)]
pub struct PendingPlaces {
    most: usize,
    most_per_address: usize,
    taken: AtomicUsize,
    by_address: Mutex<AHashMap<IpAddr, usize>>,
}

/// One place; given back when dropped.
#[derive(Debug)]
pub struct PendingPlace {
    places: Arc<PendingPlaces>,
    address: IpAddr,
}

impl PendingPlaces {
    /// So many in total, and so many for one address.
    pub fn new(most: usize, most_per_address: usize) -> Arc<Self> {
        let (taken, by_address) = Default::default();
        Arc::new(Self {
            most,
            most_per_address,
            taken,
            by_address,
        })
    }

    /// Takes a place; `None` when there is none left, in total or for the address. One host has as
    /// many IPv6 addresses as it likes, so its /64 counts.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<PendingPlace> {
        let address = network(address);
        let mut by_address = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let of_address = by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.most_per_address || self.taken.load(Ordering::Relaxed) >= self.most {
            return None;
        }
        by_address.insert(address, of_address + 1);
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(PendingPlace {
            places: self.clone(),
            address,
        })
    }

    /// Places taken now.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for PendingPlace {
    fn drop(&mut self) {
        let mut by_address = self
            .places
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// What limits per address count by: the address, or the /64 of an IPv6 address.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let high = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(high))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let places = PendingPlaces::new(3, 2);
        let (a, b): (IpAddr, IpAddr) = ("127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap());
        let first = places.take(a).unwrap();
        let _second = places.take(a).unwrap();
        assert!(places.take(a).is_none(), "the address is at its bound");
        let _third = places.take(b).unwrap();
        assert!(places.take(b).is_none(), "the total is at its bound");
        drop(first);
        assert!(places.take(b).is_some());
        assert_eq!(places.taken(), 2);
    }

    #[test]
    fn one_ipv6_host_is_one_address() {
        let places = PendingPlaces::new(10, 1);
        let _held = places.take("2001:db8::1".parse().unwrap()).unwrap();
        assert!(places.take("2001:db8::2".parse().unwrap()).is_none());
        assert!(places.take("2001:db8:0:1::1".parse().unwrap()).is_some());
    }
}
