//! Tiers: how many connections a user may have, and in how many shards.

/// Position of a tier in [`Tiers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TierId(u8);

impl TierId {
    /// The position as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One tier's caps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Name as in configuration and tokens.
    pub name: Box<str>,
    /// Connections that one shard takes.
    pub connections_per_shard: u32,
    /// Shards that one user may have.
    pub max_shards: u16,
}

impl Tier {
    /// The cap of a user of this tier.
    pub const fn limit(&self) -> u32 {
        self.connections_per_shard
            .saturating_mul(self.max_shards as u32)
    }
}

/// The configured tiers; never empty, at most 255.
#[derive(Clone, Debug)]
pub struct Tiers {
    tiers: Vec<Tier>,
    default: TierId,
}

/// Why a set of tiers cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TiersError {
    /// More than 255, or none.
    #[error("there must be 1 to 255 tiers")]
    Count,
    /// The default names none of them.
    #[error("the default tier {0:?} is not configured")]
    UnknownDefault(String),
}

impl Tiers {
    /// Takes the tiers in their order of configuration.
    ///
    /// # Errors
    /// [`TiersError`] when there are none or too many, or the default is not among them.
    pub fn new(tiers: Vec<Tier>, default: &str) -> Result<Self, TiersError> {
        if tiers.is_empty() || tiers.len() > usize::from(u8::MAX) {
            return Err(TiersError::Count);
        }
        let mut this = Self {
            tiers,
            default: TierId(0),
        };
        this.default = this
            .find(default)
            .ok_or_else(|| TiersError::UnknownDefault(default.to_owned()))?;
        Ok(this)
    }

    /// The tier of this name.
    pub fn find(&self, name: &str) -> Option<TierId> {
        let index = self.tiers.iter().position(|tier| &*tier.name == name)?;
        u8::try_from(index).ok().map(TierId)
    }

    /// The tier of users whose token names none (or one that is not configured).
    pub fn default_tier(&self) -> TierId {
        self.default
    }

    /// The tier at this position. Ids are only made by this type, so the fallback to the first
    /// tier is never taken for an id of the same set.
    pub fn get(&self, id: TierId) -> &Tier {
        self.tiers.get(id.index()).unwrap_or(&self.tiers[0])
    }

    /// All tiers with their ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TierId, &Tier)> {
        (0..=u8::MAX).map(TierId).zip(&self.tiers)
    }
}
