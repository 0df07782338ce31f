//! The form of attachments in the store.
//!
//! Attachments of one shard are stored together, up to [`PER_RECORD`] in one value: sled needs
//! 180 to 360 bytes of memory for an entry whatever its size, which is more than a sleeping
//! connection may cost. The connection's id is not stored: its slot has it.

use dormouse_protocol::{Attachment, AuthState, ClientType, ConnectionId, Labels, Rooms};
use serde::{Deserialize, Serialize};

use crate::name::ShardName;

/// Attachments in one stored value.
pub const PER_RECORD: usize = 128;

/// What is stored of one connection of a sleeping shard.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The connection's place in its worker's table, as [`crate::table::SlotToken::to_bits`];
    /// means nothing to another process.
    pub token: u64,
    client_type: ClientType,
    session_id: Option<Box<str>>,
    machine_id: Option<Box<str>>,
    connected_at: u64,
    /// Milliseconds after `connected_at`.
    last_activity: u64,
    auth_state: AuthState,
    token_hash: Option<[u8; 16]>,
    rooms: Rooms,
    is_foreground: bool,
    /// RPC methods that the connection serves, with the order of their registration.
    pub methods: Vec<(Box<str>, u64)>,
}

impl Entry {
    /// The entry of a connection.
    pub fn new(token: u64, attachment: &Attachment, methods: Vec<(Box<str>, u64)>) -> Self {
        Self {
            token,
            client_type: attachment.labels.client_type,
            session_id: attachment.labels.session_id.clone(),
            machine_id: attachment.labels.machine_id.clone(),
            connected_at: attachment.connected_at,
            last_activity: attachment
                .last_activity_at
                .saturating_sub(attachment.connected_at),
            auth_state: attachment.auth_state,
            token_hash: attachment.token_hash,
            rooms: attachment.rooms.clone(),
            is_foreground: attachment.is_foreground,
            methods,
        }
    }

    /// The machine that this connection keeps online, if it is a daemon's.
    pub fn machine(&self) -> Option<&str> {
        let is_daemon = self.client_type == ClientType::MachineScoped;
        self.machine_id.as_deref().filter(|_| is_daemon)
    }

    /// The attachment, completed by what the slot and the key hold.
    pub fn attachment(self, connection_id: ConnectionId, user: &str) -> Attachment {
        Attachment {
            connection_id,
            user_id: user.into(),
            labels: Labels {
                client_type: self.client_type,
                session_id: self.session_id,
                machine_id: self.machine_id,
            },
            connected_at: self.connected_at,
            last_activity_at: self.connected_at.saturating_add(self.last_activity),
            auth_state: self.auth_state,
            token_hash: self.token_hash,
            rooms: self.rooms,
            is_foreground: self.is_foreground,
        }
    }
}

/// The bytes of some entries. The types have no form that cannot be written.
pub fn encode(entries: &[Entry]) -> Vec<u8> {
    postcard::to_stdvec(entries).unwrap_or_default()
}

/// Reads stored bytes; `None` when they are no entries.
pub fn decode(bytes: &[u8]) -> Option<Vec<Entry>> {
    postcard::from_bytes(bytes).ok()
}

/// The prefix of all keys of a shard: length of the user id, user id, number of the shard.
pub fn shard_prefix(name: &ShardName) -> Vec<u8> {
    let user = name.user.as_bytes();
    let mut key = Vec::with_capacity(2 + user.len() + 2 + 16);
    key.extend_from_slice(&(user.len() as u16).to_be_bytes());
    key.extend_from_slice(user);
    key.extend_from_slice(&name.number.to_be_bytes());
    key
}

/// The key of a shard's record of this number.
pub fn key(name: &ShardName, record: u16) -> Vec<u8> {
    let mut key = shard_prefix(name);
    key.extend_from_slice(&record.to_be_bytes());
    key
}

/// Reads a key back; `None` when it is not one.
pub fn parse_key(key: &[u8]) -> Option<(ShardName, u16)> {
    let (length, rest) = key.split_first_chunk::<2>()?;
    let (user, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (number, rest) = rest.split_first_chunk::<2>()?;
    let record = u16::from_be_bytes(rest.try_into().ok()?);
    let user = std::str::from_utf8(user).ok()?.into();
    Some((
        ShardName {
            user,
            number: u16::from_be_bytes(*number),
        },
        record,
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_and_entries_round_trip(
            user in "\\PC{1,40}", number: u16, record: u16, id: [u8; 16], token: u64,
            times in (0_u64..1 << 45, 0_u64..1 << 45),
            token_hash: Option<[u8; 16]>, is_foreground: bool, session in prop::option::of("\\PC{1,20}"), method in "\\PC{0,20}",
            room in prop::option::of("\\PC{1,20}"),
        ) {
            let name = ShardName { user: user.as_str().into(), number };
            let id = ConnectionId::from_bytes(id);
            let mut rooms = Rooms::default();
            if let Some(room) = room {
                rooms.join(&room).unwrap();
            }
            prop_assert_eq!(parse_key(&key(&name, record)), Some((name, record)));
            let attachment = Attachment {
                connection_id: id,
                user_id: user.as_str().into(),
                labels: Labels {
                    client_type: ClientType::SessionScoped,
                    session_id: session.map(String::into_boxed_str),
                    machine_id: None,
                },
                connected_at: times.0,
                last_activity_at: times.0 + times.1,
                auth_state: AuthState::Authenticated,
                token_hash,
                rooms,
                is_foreground,
            };
            let entries = [Entry::new(token, &attachment, vec![(method.into(), 7)])];
            let mut read = decode(&encode(&entries)).unwrap();
            prop_assert_eq!(&read[..], &entries[..]);
            prop_assert_eq!(read.remove(0).attachment(id, &user), attachment);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_key(&bytes);
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn one_shard_is_no_prefix_of_another() {
        let a = ShardName {
            user: "a".into(),
            number: 0,
        };
        let ab = ShardName {
            user: "ab".into(),
            number: 0,
        };
        assert!(!key(&ab, 0).starts_with(&shard_prefix(&a)));
    }
}
