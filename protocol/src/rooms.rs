//! The rooms of a connection: names under which an application reaches some of a user's
//! connections.

use serde::{Deserialize, Serialize};

/// Most rooms that a connection is in.
pub const MAX_ROOMS: usize = 64;

/// Longest name of a room, bytes.
pub const MAX_ROOM_BYTES: usize = 512;

/// The rooms that a connection is in, each once; one word while there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rooms(#[allow(clippy::box_collection, reason = "one word")] Option<Box<Vec<Box<str>>>>);

/// Why a room is not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// The connection is in [`MAX_ROOMS`].
    #[error("a connection is in at most 64 rooms; leave one first")]
    TooMany,
    /// The name is empty or over [`MAX_ROOM_BYTES`].
    #[error("the name of a room has 1 to 512 bytes")]
    Name,
}

impl Rooms {
    /// Joins a room; `false` when the connection is in it already.
    ///
    /// # Errors
    /// [`RoomError`]; then nothing has changed.
    pub fn join(&mut self, room: &str) -> Result<bool, RoomError> {
        if room.is_empty() || room.len() > MAX_ROOM_BYTES {
            return Err(RoomError::Name);
        }
        if self.contains(room) {
            return Ok(false);
        }
        let rooms = self.0.get_or_insert_default();
        if rooms.len() >= MAX_ROOMS {
            return Err(RoomError::TooMany);
        }
        rooms.reserve_exact(1);
        rooms.push(room.into());
        Ok(true)
    }

    /// Leaves a room; `false` when the connection is not in it.
    pub fn leave(&mut self, room: &str) -> bool {
        let Some(rooms) = &mut self.0 else {
            return false;
        };
        let Some(place) = rooms.iter().position(|own| **own == *room) else {
            return false;
        };
        rooms.swap_remove(place);
        if rooms.is_empty() {
            self.0 = None;
        }
        true
    }

    /// Whether the connection is in a room.
    pub fn contains(&self, room: &str) -> bool {
        self.iter().any(|own| own == room)
    }

    /// The names, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .flat_map(|rooms| rooms.iter())
            .map(|room| &**room)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |rooms| rooms.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_joined_once_and_bounded() {
        let mut rooms = Rooms::default();
        assert_eq!(rooms.join("a"), Ok(true));
        assert_eq!(rooms.join("a"), Ok(false));
        assert_eq!(rooms.join("b"), Ok(true));
        assert!(rooms.contains("a") && !rooms.contains("c"));
        assert!(rooms.leave("a") && !rooms.leave("a") && rooms.leave("b"));
        assert!(rooms.is_empty());
        assert_eq!(rooms.join(""), Err(RoomError::Name));
        assert_eq!(rooms.join(&"x".repeat(513)), Err(RoomError::Name));
        for number in 0..MAX_ROOMS {
            assert_eq!(rooms.join(&number.to_string()), Ok(true));
        }
        assert_eq!(rooms.join("one more"), Err(RoomError::TooMany));
        assert_eq!(rooms.len(), MAX_ROOMS);
        assert_eq!(size_of::<Rooms>(), size_of::<usize>());
    }
}
