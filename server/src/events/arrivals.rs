//! Waiting for the next event of a tenant.
//!
//! Workers that read in groups wait here, at most a second each. Publishing costs one look at a map
//! that is empty while nobody waits.

use std::sync::{Arc, Mutex, PoisonError};

use ahash::AHashMap;
use dormouse_shard::event::Event;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

type Waiting = Mutex<AHashMap<Arc<str>, Arc<Notify>>>;

/// Who waits for events, by tenant.
#[derive(Debug, Default)]
pub struct Arrivals {
    waiting: Arc<Waiting>,
}

/// One that waits.
#[derive(Debug)]
pub struct Listener {
    tenant: Arc<str>,
    notify: Arc<Notify>,
    waiting: Arc<Waiting>,
}

impl Arrivals {
    /// Begins to listen for a tenant's events.
    pub fn listen(&self, tenant: &Arc<str>) -> Listener {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let notify = waiting.entry(tenant.clone()).or_default().clone();
        Listener {
            tenant: tenant.clone(),
            notify,
            waiting: self.waiting.clone(),
        }
    }

    /// Wakes those who wait for one of these.
    pub fn came(&self, events: &[Event]) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return;
        }
        let mut last: Option<&Arc<str>> = None;
        for event in events {
            // Those of a tenant come one after the other.
            if last.replace(event.tenant()) != Some(event.tenant())
                && let Some(notify) = waiting.get(event.tenant())
            {
                notify.notify_waiters();
            }
        }
    }

    /// Wakes those who wait for a tenant's events, since there is something else for them.
    pub fn wake(&self, tenant: &Arc<str>) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = waiting.get(tenant) {
            notify.notify_waiters();
        }
    }

    /// Tenants that somebody waits for.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.waiting.lock().unwrap().len()
    }
}

impl Listener {
    /// Ends with the first event of the tenant that comes after this call.
    pub fn next(&self) -> Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and this one: new ones are made under the lock only.
        if Arc::strong_count(&self.notify) <= 2 {
            waiting.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::Instant;

    use super::*;

    fn event(tenant: &str) -> Event {
        let payload = "{}".to_owned();
        Event::new(tenant.into(), "billing.paid", 1, payload, Instant::now())
    }

    #[tokio::test]
    async fn only_those_who_wait_for_the_tenant_are_woken_and_nobody_is_kept() {
        let arrivals = Arrivals::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let (first, second, other) = (
            arrivals.listen(&a),
            arrivals.listen(&a),
            arrivals.listen(&b),
        );
        let (mut one, mut two, mut three) = (
            Box::pin(first.next()),
            Box::pin(second.next()),
            Box::pin(other.next()),
        );
        // What comes before they are first polled counts as well.
        arrivals.came(&[event("x"), event("a"), event("a")]);
        assert!((&mut one).now_or_never().is_some());
        assert!((&mut two).now_or_never().is_some());
        assert!((&mut three).now_or_never().is_none());
        drop((one, two, three));
        drop(first);
        assert_eq!(arrivals.len(), 2);
        drop((second, other));
        assert_eq!(arrivals.len(), 0);
    }
}
