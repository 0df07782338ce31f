//! One open admin page: an actor of `actix-web-actors` on a socket that was upgraded for it.
//!
//! Upgrades bypass the application here, so the actor's context is run over the stream itself:
//! bytes of the socket go in, frames come out and are written before the next are made. A page
//! that does not read holds up nobody but itself, and misses updates instead of queueing them.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext as _, AsyncContext as _, StreamHandler};
use actix_http::error::PayloadError;
use actix_http::ws::{CloseReason, Codec, ProtocolError};
use actix_rt::net::TcpStream;
use actix_web_actors::ws::{Message, WebsocketContext};
use bytes::{Bytes, BytesMut};
use dormouse_protocol::envelope::{Envelope, string};
use dormouse_protocol::{CloseCode, frames};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::{Feed, update};
use crate::app_state::AppState;
use crate::clock::unix_ms;
use crate::pending::PendingPlace;

/// Longest message of a page: one token.
const MOST_MESSAGE_BYTES: usize = 16 * 1024;
/// How much is read from the socket at a time.
const READ_BYTES: usize = 4096;
/// How long a page may take to read what was written; a phone that went to sleep takes longer.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// Time between protocol pings.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// A page that is silent for this long, pongs included, is gone.
const SILENCE: Duration = Duration::from_secs(90);

/// Answers the handshake and serves the page on this thread until either side ends it.
///
/// `place` is held until the page has authenticated. `serves_users` tells the page whether users
/// connect to the same address. `read` is what came after the handshake's head.
pub fn open(
    state: Arc<AppState>,
    place: PendingPlace,
    serves_users: bool,
    socket: TcpStream,
    answer: Bytes,
    read: Bytes,
) {
    let page = LivePage {
        state,
        place: Some(place),
        serves_users,
        heard_at: Instant::now(),
    };
    actix_rt::spawn(async move {
        let (reader, mut writer) = socket.into_split();
        let codec = Codec::new().max_size(MOST_MESSAGE_BYTES);
        let frames = WebsocketContext::with_codec(page, bytes_of(reader, read), codec);
        let mut frames = std::pin::pin!(frames);
        let mut next = Some(Ok(answer));
        // While this writes, the actor is not asked for more.
        while let Some(Ok(bytes)) = next {
            match timeout(WRITE_PATIENCE, writer.write_all(&bytes)).await {
                Ok(Ok(())) => next = frames.next().await,
                _ => break,
            }
        }
        // The peer may be gone already.
        let _ = writer.shutdown().await;
    });
}

/// What a socket sends, behind what came from it already.
fn bytes_of(
    reader: impl AsyncRead + Unpin + 'static,
    first: Bytes,
) -> impl Stream<Item = Result<Bytes, PayloadError>> {
    let first = (!first.is_empty()).then_some(Ok(first));
    let rest = stream::unfold(reader, |mut reader| async move {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        match reader.read_buf(&mut buffer).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(buffer.freeze()), reader)),
            Err(err) => Some((Err(PayloadError::Io(err)), reader)),
        }
    });
    // A box, since the context needs to move it.
    stream::iter(first).chain(rest).boxed_local()
}

/// An open page.
struct LivePage {
    state: Arc<AppState>,
    /// Held until it has authenticated.
    place: Option<PendingPlace>,
    serves_users: bool,
    heard_at: Instant,
}

type Context = WebsocketContext<LivePage>;

impl Actor for LivePage {
    type Context = Context;

    fn started(&mut self, ctx: &mut Context) {
        ctx.run_later(self.state.settings.auth.deadline, |page, ctx| {
            if page.place.is_some() {
                page.refuse(CloseCode::AUTH_TIMEOUT, "no token came in time", ctx);
            }
        });
        ctx.run_interval(PING_INTERVAL, |page, ctx| {
            if page.heard_at.elapsed() > SILENCE {
                return ctx.stop();
            }
            ctx.ping(b"");
        });
    }
}

impl LivePage {
    fn take(&mut self, text: &str, ctx: &mut Context) {
        let Ok(envelope) = Envelope::parse(text) else {
            let text = "send an object with a string \"event\"";
            ctx.text(frames::error(CloseCode::PROTOCOL_ERROR, text, unix_ms()));
            return;
        };
        match (&*envelope.event, self.place.is_some()) {
            ("auth", true) => self.authenticate(envelope.payload, ctx),
            (_, true) => {
                let text = "send auth with an admin token first";
                ctx.text(frames::auth_error(CloseCode::AUTH_FAILED, text, unix_ms()));
            }
            ("ping", false) => ctx.text(frames::pong(unix_ms(), envelope.correlation)),
            (_, false) => {
                let text = "this feed takes auth and ping only";
                ctx.text(frames::error(CloseCode::PROTOCOL_ERROR, text, unix_ms()));
            }
        }
    }

    fn authenticate(&mut self, payload: Option<&RawValue>, ctx: &mut Context) {
        #[derive(Deserialize)]
        struct Auth<'a> {
            #[serde(borrow)]
            token: &'a RawValue,
        }
        let auth = payload.and_then(|raw| serde_json::from_str::<Auth<'_>>(raw.get()).ok());
        let Some(token) = auth.and_then(|auth| string(auth.token)) else {
            let text = "auth needs data.token, an admin token";
            ctx.text(frames::auth_error(CloseCode::AUTH_FAILED, text, unix_ms()));
            return;
        };
        let identity = match self.state.verifier.verify_admin(&token, unix_ms()) {
            Ok(identity) => identity,
            Err(err) => {
                tracing::debug!(%err, "admin token refused");
                return self.refuse(CloseCode::AUTH_FAILED, "this is no valid admin token", ctx);
            }
        };
        self.place = None;
        tracing::info!(admin = %identity.user, "an admin page is open");
        let left = Duration::from_millis(identity.expires_at_ms.saturating_sub(unix_ms()));
        // The runtime's timer ends within years; a token without an end needs none.
        if left < Duration::from_secs(365 * 86_400) {
            ctx.run_later(left, |page, ctx| {
                page.refuse(CloseCode::AUTH_FAILED, "the token has expired", ctx);
            });
        }
        // From here on updates are shared out; the history comes before them.
        let feed = self.state.live.feed.subscribe();
        let history = self.state.live.history();
        ctx.text(update::beginning(
            &self.state,
            &identity.user,
            self.serves_users,
            &history,
        ));
        drop(history);
        ctx.add_stream(changes(feed));
    }

    fn refuse(&self, code: CloseCode, text: &str, ctx: &mut Context) {
        ctx.text(frames::auth_error(code, text, unix_ms()));
        close(code, text, ctx);
    }
}

/// What is told from now on; of what is told between two looks, the newest.
fn changes(feed: watch::Receiver<Feed>) -> impl Stream<Item = Feed> {
    stream::unfold(feed, |mut feed| async move {
        feed.changed().await.ok()?;
        let newest = feed.borrow_and_update().clone();
        Some((newest, feed))
    })
}

impl StreamHandler<Feed> for LivePage {
    fn handle(&mut self, feed: Feed, ctx: &mut Context) {
        match feed {
            Feed::Silent => {}
            Feed::Update(text) => ctx.text(text),
            Feed::Stopping => close(CloseCode::GOING_AWAY, "the server is stopping", ctx),
        }
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for LivePage {
    fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Context) {
        self.heard_at = Instant::now();
        match message {
            Ok(Message::Text(text)) => self.take(&text, ctx),
            Ok(Message::Ping(payload)) => ctx.pong(&payload),
            Ok(Message::Pong(_) | Message::Nop) => {}
            Ok(Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            // No page sends these.
            Ok(Message::Binary(_) | Message::Continuation(_)) => {
                close(CloseCode::UNSUPPORTED, "send text, in one frame", ctx);
            }
            Err(ProtocolError::Overflow) => {
                close(CloseCode::TOO_BIG, CloseCode::TOO_BIG.reason(), ctx);
            }
            Err(ProtocolError::Io(_)) => ctx.stop(),
            Err(err) => {
                tracing::debug!(%err, "an admin page broke the protocol");
                close(
                    CloseCode::PROTOCOL_ERROR,
                    CloseCode::PROTOCOL_ERROR.reason(),
                    ctx,
                );
            }
        }
    }
}

fn close(code: CloseCode, text: &str, ctx: &mut Context) {
    ctx.close(Some(CloseReason {
        code: code.as_u16().into(),
        description: Some(text.to_owned()),
    }));
    ctx.stop();
}
