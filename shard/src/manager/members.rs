//! The connections of an awake shard, indexed by what filters ask for.

use ahash::AHashMap;
use dormouse_protocol::rooms::RoomError;
use dormouse_protocol::stats::ByType;
use dormouse_protocol::{Attachment, ClientType, ConnectionId, Filter, Labels};

use crate::mount::Wire;
use crate::table::SlotToken;

/// One connection.
#[derive(Debug)]
pub struct Member {
    /// Its slot in the worker's table.
    pub token: SlotToken,
    /// How it speaks.
    pub wire: Wire,
    /// What is known of it.
    pub attachment: Box<Attachment>,
}

impl Member {
    fn labels(&self) -> &Labels {
        &self.attachment.labels
    }

    /// Whether a filter chooses it.
    pub fn is_chosen_by(&self, filter: &Filter) -> bool {
        let attachment = &self.attachment;
        filter.matches(
            attachment.connection_id,
            &attachment.labels,
            &attachment.rooms,
        )
    }
}

/// Shards of up to this size are scanned; larger ones get an index of tokens.
const SCANNED: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Place {
    list: u8,
    index: u32,
}

/// Connections by client type, session and machine: a delivery costs what it reaches.
#[derive(Debug, Default)]
pub struct Members {
    lists: [Vec<Member>; 3],
    places: Option<Box<AHashMap<SlotToken, Place>>>,
    /// Connections by the hash of their label; the label itself is compared on use.
    sessions: AHashMap<u64, Vec<SlotToken>>,
    machines: AHashMap<u64, Vec<SlotToken>>,
    /// Connections by room; absent while there are none. A name is kept once for all who are in it.
    rooms: Option<Box<AHashMap<Box<str>, Vec<SlotToken>>>>,
}

/// The hash under which a label is counted and indexed.
pub fn label_hash(label: &str) -> u64 {
    const SEEDS: ahash::RandomState = ahash::RandomState::with_seeds(5, 6, 7, 8);
    SEEDS.hash_one(label)
}

impl Members {
    /// Adds a connection.
    pub fn insert(&mut self, member: Member) {
        let token = member.token;
        let list = member.labels().client_type.index();
        for (label, index) in [
            (&member.attachment.labels.session_id, &mut self.sessions),
            (&member.attachment.labels.machine_id, &mut self.machines),
        ] {
            if let Some(label) = label {
                let tokens = index.entry(label_hash(label)).or_default();
                tokens.reserve_exact(1);
                tokens.push(token);
            }
        }
        for room in member.attachment.rooms.iter() {
            let rooms = self.rooms.get_or_insert_default();
            rooms.entry(room.into()).or_default().push(token);
        }
        let members = &mut self.lists[list];
        // Most users have a connection or two: grow from one, not from four.
        if members.len() == members.capacity() {
            members.reserve_exact(members.len().max(1));
        }
        members.push(member);
        let index = (members.len() - 1) as u32;
        if let Some(places) = &mut self.places {
            places.insert(
                token,
                Place {
                    list: list as u8,
                    index,
                },
            );
        } else if self.len() > SCANNED {
            self.index_places();
        }
    }

    fn index_places(&mut self) {
        let mut places = AHashMap::new();
        for (list, members) in self.lists.iter().enumerate() {
            for (index, member) in members.iter().enumerate() {
                places.insert(
                    member.token,
                    Place {
                        list: list as u8,
                        index: index as u32,
                    },
                );
            }
        }
        self.places = Some(Box::new(places));
    }

    fn place(&self, token: SlotToken) -> Option<Place> {
        if let Some(places) = &self.places {
            return places.get(&token).copied();
        }
        self.lists.iter().enumerate().find_map(|(list, members)| {
            let index = members.iter().position(|member| member.token == token)?;
            Some(Place {
                list: list as u8,
                index: index as u32,
            })
        })
    }

    /// The connection of this slot.
    pub fn get(&self, token: SlotToken) -> Option<&Member> {
        let place = self.place(token)?;
        self.lists
            .get(usize::from(place.list))?
            .get(place.index as usize)
    }

    /// The connection of this slot.
    pub fn get_mut(&mut self, token: SlotToken) -> Option<&mut Member> {
        let place = self.place(token)?;
        self.lists
            .get_mut(usize::from(place.list))?
            .get_mut(place.index as usize)
    }

    /// Takes a connection out.
    pub fn remove(&mut self, token: SlotToken) -> Option<Member> {
        let place = self.place(token)?;
        let members = self.lists.get_mut(usize::from(place.list))?;
        let member = members.swap_remove(place.index as usize);
        if let Some(places) = &mut self.places {
            places.remove(&token);
            if let Some(moved) = members.get(place.index as usize) {
                places.insert(moved.token, place);
            }
        }
        for (label, index) in [
            (&member.attachment.labels.session_id, &mut self.sessions),
            (&member.attachment.labels.machine_id, &mut self.machines),
        ] {
            let Some(label) = label else { continue };
            let hash = label_hash(label);
            if let Some(tokens) = index.get_mut(&hash) {
                tokens.retain(|other| *other != token);
                if tokens.is_empty() {
                    index.remove(&hash);
                }
            }
        }
        for room in member.attachment.rooms.iter() {
            self.leave_index(room, token);
        }
        Some(member)
    }

    /// Puts a connection into a room; `false` when nothing changes.
    ///
    /// # Errors
    /// [`RoomError`]; then nothing has changed.
    pub fn join_room(&mut self, token: SlotToken, room: &str) -> Result<bool, RoomError> {
        let Some(member) = self.get_mut(token) else {
            return Ok(false);
        };
        let is_new = member.attachment.rooms.join(room)?;
        if is_new {
            let rooms = self.rooms.get_or_insert_default();
            rooms.entry(room.into()).or_default().push(token);
        }
        Ok(is_new)
    }

    /// Takes a connection out of a room; `false` when it is not in it.
    pub fn leave_room(&mut self, token: SlotToken, room: &str) -> bool {
        let was_in = self
            .get_mut(token)
            .is_some_and(|member| member.attachment.rooms.leave(room));
        if was_in {
            self.leave_index(room, token);
        }
        was_in
    }

    fn leave_index(&mut self, room: &str, token: SlotToken) {
        let Some(rooms) = &mut self.rooms else {
            return;
        };
        if let Some(tokens) = rooms.get_mut(room) {
            tokens.retain(|other| *other != token);
            if tokens.is_empty() {
                rooms.remove(room);
            }
        }
        if rooms.is_empty() {
            self.rooms = None;
        }
    }

    /// Calls `each` for every connection that the filter chooses.
    pub fn select(&self, filter: &Filter, mut each: impl FnMut(&Member)) {
        let users = self.users();
        match filter {
            Filter::All => self.iter().for_each(each),
            Filter::UserScopedOnly => users.iter().for_each(each),
            Filter::Session(id) => self.labelled(&self.sessions, id, filter, each),
            Filter::Machine(id) => self.labelled(&self.machines, id, filter, each),
            Filter::MachineScopedOnly(id) => {
                users.iter().for_each(&mut each);
                self.labelled(&self.machines, id, filter, |member| {
                    if member.labels().client_type == ClientType::MachineScoped {
                        each(member);
                    }
                });
            }
            Filter::AllInterestedInSession(id) => {
                users.iter().for_each(&mut each);
                self.labelled(&self.sessions, id, filter, |member| {
                    if member.labels().client_type == ClientType::SessionScoped {
                        each(member);
                    }
                });
            }
            Filter::Exclude(id) => {
                self.iter()
                    .filter(|member| member.attachment.connection_id != *id)
                    .for_each(each);
            }
            Filter::Connection(id) => self.find(*id).into_iter().for_each(each),
            Filter::Room(room) => {
                let tokens = self.rooms.as_ref().and_then(|rooms| rooms.get(room));
                let members = tokens
                    .into_iter()
                    .flatten()
                    .filter_map(|token| self.get(*token));
                members.for_each(each);
            }
        }
    }

    fn labelled(
        &self,
        index: &AHashMap<u64, Vec<SlotToken>>,
        label: &str,
        filter: &Filter,
        mut each: impl FnMut(&Member),
    ) {
        for token in index.get(&label_hash(label)).into_iter().flatten() {
            if let Some(member) = self.get(*token)
                && member.is_chosen_by(filter)
            {
                each(member);
            }
        }
    }

    /// The connection of this id.
    pub fn find(&self, id: ConnectionId) -> Option<&Member> {
        self.iter()
            .find(|member| member.attachment.connection_id == id)
    }

    /// All connections.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.lists.iter().flatten()
    }

    /// All connections.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.lists.iter_mut().flatten()
    }

    /// User-scoped connections.
    pub fn users(&self) -> &[Member] {
        self.of_type(ClientType::UserScoped)
    }

    /// Connections of one client type.
    pub fn of_type(&self, client_type: ClientType) -> &[Member] {
        &self.lists[client_type.index()]
    }

    /// Number of connections.
    pub fn len(&self) -> usize {
        self.lists.iter().map(Vec::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lists.iter().all(Vec::is_empty)
    }

    /// Number of connections by client type.
    pub fn by_type(&self) -> ByType {
        let mut by_type = ByType::default();
        for client_type in ClientType::ALL {
            *by_type.of(client_type) = self.lists[client_type.index()].len() as u64;
        }
        by_type
    }

    /// Smallest `connectedAt`, Unix ms.
    pub fn oldest(&self) -> Option<u64> {
        self.iter()
            .map(|member| member.attachment.connected_at)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dormouse_protocol::AuthState;
    use proptest::prelude::*;

    use super::*;

    fn member(
        number: u32,
        kind: usize,
        session: Option<u8>,
        machine: Option<u8>,
        room: Option<u8>,
    ) -> Member {
        let label = |prefix: &str, label: Option<u8>| label.map(|n| format!("{prefix}{n}").into());
        let labels = Labels {
            client_type: ClientType::ALL[kind],
            session_id: label("s", session),
            machine_id: label("m", machine),
        };
        let mut rooms = dormouse_protocol::Rooms::default();
        if let Some(room) = room {
            rooms.join(&format!("r{room}")).unwrap();
        }
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_le_bytes());
        Member {
            token: SlotToken::from_bits(u64::from(number)),
            wire: Wire::Plain,
            attachment: Box::new(Attachment {
                connection_id: ConnectionId::from_bytes(id),
                user_id: "u".into(),
                labels,
                connected_at: u64::from(number),
                last_activity_at: 0,
                auth_state: AuthState::Legacy,
                token_hash: None,
                rooms,
                is_foreground: false,
            }),
        }
    }

    proptest! {
        #[test]
        fn the_indexes_choose_exactly_what_the_filter_matches(
            shapes in prop::collection::vec(
                (0_usize..3, prop::option::of(0_u8..3), prop::option::of(0_u8..3), prop::option::of(0_u8..3)), 0..30),
            moves in prop::collection::vec((0_u64..30, 0_u8..3, any::<bool>()), 0..20),
            gone in prop::collection::vec(0_usize..30, 0..20),
            label in 0_u8..3,
            excluded in 0_u32..30,
        ) {
            let mut members = Members::default();
            for (number, (kind, session, machine, room)) in (0..).zip(&shapes) {
                members.insert(member(number, *kind, *session, *machine, *room));
            }
            for (number, room, joins) in moves {
                let (token, room) = (SlotToken::from_bits(number), format!("r{room}"));
                if joins {
                    members.join_room(token, &room).unwrap();
                } else {
                    members.leave_room(token, &room);
                }
            }
            for index in gone {
                members.remove(SlotToken::from_bits(index as u64));
            }
            let (session, machine) = (format!("s{label}"), format!("m{label}"));
            let excluded = member(excluded, 0, None, None, None).attachment.connection_id;
            let room = format!("r{label}");
            for filter in [
                Filter::All,
                Filter::UserScopedOnly,
                Filter::Session(session.clone().into()),
                Filter::Machine(machine.clone().into()),
                Filter::MachineScopedOnly(machine.into()),
                Filter::AllInterestedInSession(session.into()),
                Filter::Exclude(excluded),
                Filter::Connection(excluded),
                Filter::Room(room.into()),
            ] {
                let mut chosen = Vec::new();
                members.select(&filter, |member| chosen.push(member.token.to_bits()));
                let expected: BTreeSet<u64> = members
                    .iter()
                    .filter(|m| m.is_chosen_by(&filter))
                    .map(|m| m.token.to_bits())
                    .collect();
                prop_assert_eq!(chosen.len(), expected.len(), "each once: {:?}", filter);
                prop_assert_eq!(chosen.into_iter().collect::<BTreeSet<_>>(), expected);
            }
            for token in members.iter().map(|m| m.token).collect::<Vec<_>>() {
                prop_assert_eq!(members.get(token).map(|m| m.token), Some(token));
                members.remove(token);
            }
            prop_assert!(members.is_empty());
            prop_assert!(members.sessions.is_empty() && members.machines.is_empty());
            prop_assert!(members.rooms.is_none());
        }
    }
}
