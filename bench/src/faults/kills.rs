//! The server is killed in the middle of everything, again and again, and started on what it left.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Done, Fault, FaultPlan};
use crate::failure::Failure;
use crate::target::Target;
use crate::token::Token;
use crate::trial::{Api, Checks, Launch, Raw, TrialServer, broken};

/// Users, each with a session that is written to and a machine that is online.
const USERS: usize = 4;
/// Connections that do nothing, so that their shards fall asleep and wake all the time.
const SLEEPERS: usize = 20;
/// The server lives at least this long, and up to [`LONGEST`].
const SHORTEST: u64 = 150;
const LONGEST: u64 = 1_200;

pub(super) const FAULT: Fault = Fault {
    name: "kills",
    about: "killed at random moments while sockets and HTTP write, events are published, and connections come, go and sleep",
    run: |plan, checks| run(plan, checks).boxed_local(),
};

/// What a client was told is stored.
#[derive(Debug)]
enum Acked {
    /// A message of a user's session: its local id and number.
    Message(usize, String, u64),
    /// A session: user, tag and id.
    Session(usize, String, String),
    /// An event, by its idempotency key.
    Event(String),
    /// A connection came about.
    Connection,
}

/// A user of the load.
#[derive(Clone, Debug)]
struct User {
    number: usize,
    token: Token,
    session: String,
}

/// What was found to be there, of what was acknowledged.
#[derive(Debug, Default)]
struct Kept {
    acked: u64,
    found: u64,
}

impl Kept {
    fn lost(&self) -> u64 {
        self.acked.saturating_sub(self.found)
    }
}

async fn run(plan: &FaultPlan, checks: &mut Checks) -> Result<Done, Failure> {
    let folder = tempfile::tempdir().map_err(|err| broken("a folder", err))?;
    let launch = Launch::new(&plan.server, &folder.path().join("data"))
        .set("shard.hibernate_after", "100ms")
        // A kill must not be slowed down by what thousands of requests log.
        .set("log.level", "warn");
    let api = Api::new()?;
    let mut server = launch.start().await?;
    let users = users(&api, &server.target).await?;
    let [mut messages, mut sessions, mut events] = [const { Kept { acked: 0, found: 0 } }; 3];
    let (mut connections, mut opened, mut online) = (0_u64, 0_u64, 0_u64);
    let mut last = [0_u64; USERS];
    for _ in 0..plan.kills {
        let acked = load_until_killed(&api, &mut server, &users).await?;
        server = launch.start().await?;
        opened += 1;
        let (mut told, mut posted, mut keys) = (BTreeMap::new(), Vec::new(), Vec::new());
        for acked in acked {
            match acked {
                Acked::Message(user, id, seq) => drop(told.insert((user, id), seq)),
                Acked::Session(user, tag, id) => posted.push((user, tag, id)),
                Acked::Event(key) => keys.push(key),
                Acked::Connection => connections += 1,
            }
        }
        for user in &users {
            let from = last.get_mut(user.number);
            let stored = stored_messages(&api, &server.target, user, from).await?;
            for ((_, id), seq) in told.iter().filter(|((owner, _), _)| *owner == user.number) {
                messages.acked += 1;
                messages.found += u64::from(stored.get(id) == Some(seq));
            }
            online += machines_online(&api, &server.target, user).await?;
        }
        for (user, tag, id) in &posted {
            sessions.acked += 1;
            let found = users
                .get(*user)
                .map(|user| make_session(&api, &server.target, user, tag));
            if let Some(found) = found {
                sessions.found += u64::from(found.await.as_ref() == Some(id));
            }
        }
        for key in &keys {
            events.acked += 1;
            let again = api.publish(&server.target, key).await;
            events.found += u64::from(again.is_some_and(|answer| answer.replayed));
        }
    }
    let ended = server.stop().await?;
    let kills = u64::from(plan.kills);
    checks.exactly("kills: starts on what was left", kills, opened);
    checks.exactly(
        "kills: acknowledged messages stored",
        messages.acked,
        messages.found,
    );
    checks.exactly(
        "kills: acknowledged sessions stored",
        sessions.acked,
        sessions.found,
    );
    checks.exactly(
        "kills: acknowledged events stored",
        events.acked,
        events.found,
    );
    checks.exactly("kills: machines of a killed process online", 0, online);
    // A load that did nothing proves nothing.
    for (name, count) in [
        ("kills_messages_acked", messages.acked),
        ("kills_sessions_acked", sessions.acked),
        ("kills_events_acked", events.acked),
        ("kills_connections", connections),
    ] {
        let heading = format!("kills: the load did something ({name})");
        checks.limit(&heading, name, Some(count as f64), &format!("> {kills}"))?;
    }
    checks.holds(
        "kills: it stops with status 0 after all",
        "kills_clean_end",
        ended.success(),
    )?;
    let lost = [&messages, &sessions, &events].map(Kept::lost);
    Ok(Done::Made(format!(
        "{kills} kills; {} messages, {} sessions and {} events were acknowledged, {} lost; {} \
         connections",
        messages.acked,
        sessions.acked,
        events.acked,
        match lost.iter().sum::<u64>() {
            0 => "none".to_owned(),
            some => some.to_string(),
        },
        connections
    )))
}

/// Makes the users' sessions and machines.
async fn users(api: &Api, target: &Target) -> Result<Vec<User>, Failure> {
    let mut users = Vec::new();
    for number in 0..USERS {
        let token = Launch::user_token(&format!("survivor-{number}"), None)?;
        let mut user = User {
            number,
            token,
            session: String::new(),
        };
        let session = make_session(api, target, &user, "main").await;
        user.session = session.ok_or_else(|| broken("a session", "it cannot be made"))?;
        let machine = json!({ "id": machine(number), "metadata": "m" });
        let made = api
            .post(target, "/v1/machines", &user.token, &machine)
            .await;
        if made.is_none_or(|answer| answer.status != 200) {
            return Err(broken("a machine", "it cannot be registered"));
        }
        users.push(user);
    }
    Ok(users)
}

fn machine(user: usize) -> String {
    format!("machine-{user}")
}

/// Makes a session, or finds the one of this tag; its id.
async fn make_session(api: &Api, target: &Target, user: &User, tag: &str) -> Option<String> {
    let body = json!({ "tag": tag, "metadata": "m" });
    let answer = api.post(target, "/v1/sessions", &user.token, &body).await?;
    let id = answer.body["session"]["id"].as_str()?;
    (answer.status == 200).then(|| id.to_owned())
}

/// Puts everything to work, kills the server at a random moment, and returns what was acknowledged.
async fn load_until_killed(
    api: &Api,
    server: &mut TrialServer,
    users: &[User],
) -> Result<Vec<Acked>, Failure> {
    let mut load = JoinSet::new();
    for user in users {
        let (address, target) = (server.address, server.target.clone());
        load.spawn(messages(address, user.clone()));
        load.spawn(sessions(api.clone(), target.clone(), user.clone()));
        load.spawn(events(api.clone(), target));
        load.spawn(machine_online(address, user.clone()));
        load.spawn(comings_and_goings(address, user.clone()));
    }
    for number in 0..SLEEPERS {
        let token = Launch::user_token(&format!("sleeper-{number}"), None)?;
        load.spawn(sleeper(server.address, token));
    }
    let random = (Uuid::new_v4().as_u128() % u128::from(LONGEST - SHORTEST)) as u64;
    tokio::time::sleep(Duration::from_millis(SHORTEST + random)).await;
    server.kill().await?;
    Ok(load.join_all().await.into_iter().flatten().collect())
}

async fn messages(address: std::net::SocketAddr, user: User) -> Vec<Acked> {
    let mut acked = Vec::new();
    let query = format!("&clientType=session-scoped&sessionId={}", user.session);
    let path = format!("/v1/updates?token={}{query}", user.token.expose());
    let Ok(mut raw) = Raw::open(address, user.number, &path).await else {
        return acked;
    };
    loop {
        let local_id = Uuid::new_v4().to_string();
        let data = json!({ "sid": user.session, "message": "c", "localId": local_id });
        let text = json!({ "event": "message", "ackId": "1", "data": data }).to_string();
        if raw.send(&text).await.is_err() {
            return acked;
        }
        let Ok(answer) = raw.hear("ack").await else {
            return acked;
        };
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        if answer["ack"]["ok"] == true
            && let Some(seq) = answer["ack"]["seq"].as_u64()
        {
            acked.push(Acked::Message(user.number, local_id, seq));
        }
    }
}

async fn sessions(api: Api, target: Target, user: User) -> Vec<Acked> {
    let mut acked = Vec::new();
    loop {
        let tag = Uuid::new_v4().to_string();
        match make_session(&api, &target, &user, &tag).await {
            Some(id) => acked.push(Acked::Session(user.number, tag, id)),
            None => return acked,
        }
    }
}

async fn events(api: Api, target: Target) -> Vec<Acked> {
    let mut acked = Vec::new();
    loop {
        let key = Uuid::new_v4().to_string();
        match api.publish(&target, &key).await {
            Some(answer) if answer.status == 200 => acked.push(Acked::Event(key)),
            _ => return acked,
        }
    }
}

/// A machine that stays connected, and talks now and then.
async fn machine_online(address: std::net::SocketAddr, user: User) -> Vec<Acked> {
    let query = format!(
        "&clientType=machine-scoped&machineId={}",
        machine(user.number)
    );
    let path = format!("/v1/updates?token={}{query}", user.token.expose());
    if let Ok(mut raw) = Raw::open(address, user.number, &path).await {
        while raw.send(r#"{"event":"broadcast","data":1}"#).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
    Vec::new()
}

async fn comings_and_goings(address: std::net::SocketAddr, user: User) -> Vec<Acked> {
    let path = format!("/v1/updates?token={}", user.token.expose());
    let mut acked = Vec::new();
    loop {
        let cycle = async {
            let mut raw = Raw::open(address, user.number, &path).await?;
            raw.hear("connected").await?;
            raw.goodbye().await
        };
        if cycle.await.is_err() {
            return acked;
        }
        acked.push(Acked::Connection);
    }
}

/// A connection whose shard falls asleep and is woken, over and over.
async fn sleeper(address: std::net::SocketAddr, token: Token) -> Vec<Acked> {
    let path = format!("/v1/updates?token={}", token.expose());
    if let Ok(mut raw) = Raw::open(address, 0, &path).await {
        while raw.send(r#"{"event":"ping","ackId":"1"}"#).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
    Vec::new()
}

/// The messages of a user's session after a number, which moves on: local id and number.
async fn stored_messages(
    api: &Api,
    target: &Target,
    user: &User,
    last: Option<&mut u64>,
) -> Result<BTreeMap<String, u64>, Failure> {
    let mut stored = BTreeMap::new();
    let Some(last) = last else {
        return Ok(stored);
    };
    loop {
        let path = format!("/v1/sessions/{}/messages?sinceSeq={last}", user.session);
        let page = api.get(target, &path, Some(&user.token)).await;
        let page = page.ok_or_else(|| broken("the messages", "no answer"))?;
        let Some(messages) = page.body["messages"]
            .as_array()
            .filter(|all| !all.is_empty())
        else {
            return Ok(stored);
        };
        for message in messages {
            let seq = message["seq"].as_u64().unwrap_or(0);
            if seq != *last + 1 {
                return Err(broken("the messages", format!("{seq} follows {last}")));
            }
            *last = seq;
            let local_id = message["localId"].as_str().unwrap_or_default();
            stored.insert(local_id.to_owned(), seq);
        }
    }
}

/// How many of a user's machines the server says are online.
async fn machines_online(api: &Api, target: &Target, user: &User) -> Result<u64, Failure> {
    let list = api.get(target, "/v1/machines", Some(&user.token)).await;
    let list = list.ok_or_else(|| broken("the machines", "no answer"))?;
    let machines = list.body["machines"].as_array();
    let machines = machines
        .or_else(|| list.body.as_array())
        .ok_or_else(|| broken("the machines", "no list"))?;
    if machines.is_empty() {
        return Err(broken("the machines", "they are gone"));
    }
    Ok(machines
        .iter()
        .filter(|machine| machine["active"] == true)
        .count() as u64)
}
