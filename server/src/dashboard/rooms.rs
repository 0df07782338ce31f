//! The rooms of the dashboard's connections. What a room is called says what its connections may
//! see; whoever is in none sees nothing.

use dormouse_protocol::Rooms;

/// Connections that look at the dashboard as a whole (contract section 11).
pub const WHOLE: &str = "dashboard";

const ORGANISATION: &str = "org:";
const VISITOR: &str = "visitor:";

/// Connections that look at an organisation.
pub fn organisation(slug: &str) -> String {
    format!("{ORGANISATION}{slug}")
}

/// Those of them that look at an agent.
pub fn agent(slug: &str, agent: &str) -> String {
    format!("{ORGANISATION}{slug}:agent:{agent}")
}

/// Those of them that look at a thread.
pub fn thread(slug: &str, thread: &str) -> String {
    format!("{ORGANISATION}{slug}:thread:{thread}")
}

/// Connections that came with a token of this user.
pub fn visitor(user: &str) -> String {
    format!("{VISITOR}{user}")
}

/// The organisation that a connection looks at.
pub fn organisation_of(rooms: &Rooms) -> Option<&str> {
    let slugs = rooms
        .iter()
        .filter_map(|room| room.strip_prefix(ORGANISATION));
    slugs.into_iter().find(|slug| !slug.contains(':'))
}

/// The user whose token a connection came with.
pub fn visitor_of(rooms: &Rooms) -> Option<&str> {
    rooms.iter().find_map(|room| room.strip_prefix(VISITOR))
}

/// All rooms of organisations that a connection is in.
pub fn of_organisations(rooms: &Rooms) -> impl Iterator<Item = &str> {
    rooms.iter().filter(|room| room.starts_with(ORGANISATION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_say_where_a_connection_looks() {
        let mut rooms = Rooms::default();
        assert_eq!((organisation_of(&rooms), visitor_of(&rooms)), (None, None));
        for room in [
            WHOLE,
            &thread("acme", "t"),
            &organisation("acme"),
            &visitor("al:ice"),
        ] {
            rooms.join(room).unwrap();
        }
        assert_eq!(organisation_of(&rooms), Some("acme"));
        assert_eq!(visitor_of(&rooms), Some("al:ice"));
        assert_eq!(of_organisations(&rooms).count(), 2);
    }
}
