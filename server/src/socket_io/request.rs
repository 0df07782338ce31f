//! What an Engine.IO request asks for, and the checks that need no session.

use super::refusal::EngineRefusal;

/// How packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Held `GET`s and `POST`s.
    Polling,
    /// A WebSocket.
    WebSocket,
}

/// A request, read.
#[derive(Debug, PartialEq, Eq)]
pub struct EngineRequest {
    /// How packets are to travel.
    pub transport: Transport,
    /// The session that it belongs to; `None` for the first.
    pub sid: Option<String>,
}

impl EngineRequest {
    /// Reads a query. `is_upgrade` tells whether the request asks for a WebSocket.
    ///
    /// # Errors
    /// The first [`EngineRefusal`] that applies.
    pub fn read(query: &str, is_get: bool, is_upgrade: bool) -> Result<Self, EngineRefusal> {
        let value = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs
                .find(|(other, _)| other == name)
                .map(|(_, value)| value.into_owned())
        };
        let transport = match value("transport").as_deref() {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::WebSocket,
            _ => return Err(EngineRefusal::Transport),
        };
        if value("EIO").as_deref() != Some("4") {
            return Err(EngineRefusal::Version);
        }
        let sid = value("sid");
        if sid.is_none() && !is_get {
            return Err(EngineRefusal::Method);
        }
        if is_upgrade != (transport == Transport::WebSocket) {
            return Err(EngineRefusal::Request);
        }
        Ok(Self { transport, sid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_refused_by_the_first_rule_they_break() {
        use EngineRefusal as Refusal;
        for (query, is_get, is_upgrade, refusal) in [
            ("EIO=4", true, false, Refusal::Transport),
            ("EIO=3&transport=flash", true, false, Refusal::Transport),
            ("EIO=3&transport=polling", true, false, Refusal::Version),
            ("EIO=&transport=websocket", true, true, Refusal::Version),
            ("EIO=4&transport=polling", false, false, Refusal::Method),
            ("EIO=4&transport=websocket", true, false, Refusal::Request),
            ("EIO=4&transport=polling", true, true, Refusal::Request),
            (
                "EIO=4&transport=polling&sid=x",
                true,
                true,
                Refusal::Request,
            ),
        ] {
            let read = EngineRequest::read(query, is_get, is_upgrade);
            assert_eq!(read, Err(refusal), "{query}");
        }
        let read = EngineRequest::read("EIO=4&transport=polling&sid=a%2Db&t=x", false, false);
        let expected = EngineRequest {
            transport: Transport::Polling,
            sid: Some("a-b".to_owned()),
        };
        assert_eq!(read, Ok(expected));
    }
}
