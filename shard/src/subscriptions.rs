//! Who gets an event: an index from channels to subscribers.
//!
//! To find the subscribers of an event costs one lookup for its tenant, one for its name and one
//! for each of its prefixes, and then what it matches: not what others subscribe to.

use std::sync::Arc;

use ahash::{AHashMap, RandomState};
use dormouse_protocol::events::Pattern;
use dormouse_protocol::events::pattern::prefixes;
use indexmap::IndexSet;

/// Names a subscriber of this worker.
pub type SubscriberKey = usize;

type Keys = IndexSet<SubscriberKey, RandomState>;

/// The entries of all subscribers of one worker.
#[derive(Debug, Default)]
pub struct Subscriptions {
    tenants: AHashMap<Arc<str>, Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    exact: AHashMap<Box<str>, Keys>,
    below: AHashMap<Box<str>, Keys>,
}

impl Entries {
    /// The map that an entry belongs into, and its text there.
    fn side<'p>(&mut self, pattern: &'p Pattern) -> (&mut AHashMap<Box<str>, Keys>, &'p str) {
        match pattern {
            Pattern::Exact(name) => (&mut self.exact, name),
            Pattern::Below(prefix) => (&mut self.below, prefix),
        }
    }
}

impl Subscriptions {
    /// Adds an entry of a subscriber.
    pub fn insert(&mut self, tenant: &Arc<str>, pattern: &Pattern, key: SubscriberKey) {
        let entries = match self.tenants.get_mut(tenant) {
            Some(entries) => entries,
            None => self.tenants.entry(tenant.clone()).or_default(),
        };
        let (map, text) = entries.side(pattern);
        match map.get_mut(text) {
            Some(keys) => {
                keys.insert(key);
            }
            None => {
                map.entry(text.into()).or_default().insert(key);
            }
        }
    }

    /// Removes one, and forgets what nobody subscribes to any more.
    pub fn remove(&mut self, tenant: &Arc<str>, pattern: &Pattern, key: SubscriberKey) {
        let Some(entries) = self.tenants.get_mut(tenant) else {
            return;
        };
        let (map, text) = entries.side(pattern);
        if let Some(keys) = map.get_mut(text) {
            keys.swap_remove(&key);
            if keys.is_empty() {
                map.remove(text);
            }
        }
        if entries.exact.is_empty() && entries.below.is_empty() {
            self.tenants.remove(tenant);
        }
    }

    /// Calls `each` for every entry that matches an event: more than once for a subscriber of whom
    /// several entries do.
    pub fn each_match(&self, tenant: &str, name: &str, mut each: impl FnMut(SubscriberKey)) {
        let Some(entries) = self.tenants.get(tenant) else {
            return;
        };
        if let Some(keys) = entries.exact.get(name) {
            keys.iter().copied().for_each(&mut each);
        }
        if entries.below.is_empty() {
            return;
        }
        for prefix in prefixes(name) {
            if let Some(keys) = entries.below.get(prefix) {
                keys.iter().copied().for_each(&mut each);
            }
        }
    }

    /// Whether nobody subscribes to anything.
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn matches(index: &Subscriptions, tenant: &str, name: &str) -> BTreeSet<SubscriberKey> {
        let mut found = BTreeSet::new();
        index.each_match(tenant, name, |key| {
            found.insert(key);
        });
        found
    }

    #[test]
    fn tenants_never_see_each_other() {
        let mut index = Subscriptions::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let all = Pattern::parse("call.*").unwrap();
        index.insert(&a, &all, 1);
        index.insert(&b, &all, 2);
        assert_eq!(matches(&index, "a", "call.started"), [1].into());
        assert_eq!(matches(&index, "b", "call.started"), [2].into());
        assert_eq!(matches(&index, "c", "call.started"), [].into());
        index.remove(&a, &all, 1);
        index.remove(&b, &all, 2);
        assert!(index.is_empty());
    }

    proptest! {
        #[test]
        fn the_index_finds_what_the_patterns_match(
            entries in prop::collection::vec(
                (0_usize..6, "[ab](\\.[ab]){0,2}(\\.\\*)?", any::<bool>()), 0..60,
            ),
            names in prop::collection::vec("[ab](\\.[ab]){0,4}", 1..20),
        ) {
            let tenant: Arc<str> = "t".into();
            let mut index = Subscriptions::default();
            let mut model: BTreeSet<(usize, String)> = BTreeSet::new();
            for (key, text, adds) in entries {
                let pattern = Pattern::parse(&text).unwrap();
                if adds {
                    index.insert(&tenant, &pattern, key);
                    model.insert((key, text));
                } else {
                    index.remove(&tenant, &pattern, key);
                    model.remove(&(key, text));
                }
            }
            prop_assert_eq!(index.is_empty(), model.is_empty());
            for name in names {
                let expected: BTreeSet<usize> = model
                    .iter()
                    .filter(|(_, text)| Pattern::parse(text).unwrap().matches(&name))
                    .map(|(key, _)| *key)
                    .collect();
                prop_assert_eq!(matches(&index, "t", &name), expected);
            }
        }
    }
}
