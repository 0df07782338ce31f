//! `dormouse serve`: runs until a signal.

use std::io::Write as _;

use dormouse_config::Settings;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, load};
use crate::auth::MintRequest;
use crate::cli::SettingFlags;
use crate::clock::unix_ms;
use crate::listeners::Surface;
use crate::serve::{Server, raise_file_limit};

/// The user of the ready-made token in development.
const DEMO_USER: &str = "demo";

/// Loads the settings, starts logging, serves.
///
/// # Errors
/// All faults of the configuration, or why the server cannot start.
pub fn run(flags: &SettingFlags) -> Result<(), Failure> {
    let settings = load(flags)?.settings;
    crate::logging::start(&settings.log).map_err(Failure::new)?;
    if let Some(files) = raise_file_limit() {
        tracing::info!(files, "open files allowed");
    }
    actix_rt::System::new().block_on(serve(settings))
}

async fn serve(settings: Settings) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::new)?;
    let server = Server::new(settings).map_err(Failure::new)?;
    print_welcome(&server);
    let running = server.start().map_err(Failure::new)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; a second signal ends at once");
    tokio::select! {
        () = running.stop() => {
            tracing::info!("stopped");
            Ok(())
        }
        _ = terminate.recv() => Err(Failure::new("ended by a second signal")),
        _ = interrupt.recv() => Err(Failure::new("ended by a second signal")),
    }
}

/// Prints where the server listens and, in development, lines to paste. Whether anybody reads it
/// is no concern of the server's.
fn print_welcome(server: &Server) {
    let _ = std::io::stdout().write_all(welcome(server).as_bytes());
}

fn welcome(server: &Server) -> String {
    let state = server.state();
    let mut text = format!("dormouse {}\n", crate::app_state::VERSION);
    for listener in server.listeners() {
        let what = if listener.surface == Surface::Admin {
            " (admin)"
        } else {
            ""
        };
        text.push_str(&format!("listening on http://{}{what}\n", listener.address));
    }
    let main = server
        .listeners()
        .iter()
        .find(|listener| listener.surface == Surface::Main);
    if let Some(listener) = main
        && state.is_development()
    {
        let request = MintRequest {
            user: DEMO_USER,
            tier: None,
            admin: false,
            ttl: None,
            extras: None,
        };
        // The demo user's id is a good one, so the token can be made.
        if let Ok(token) = state.verifier.mint(&request, unix_ms()) {
            let (address, token) = (listener.address, token.as_str());
            text.push_str(&format!(
                "\ndevelopment mode: the secret is kept in {}\n\
                 connect as user {DEMO_USER:?} (paste into a browser console or any client):\n  \
                 new WebSocket(\"ws://{address}/v1/updates?token={token}\")\n\
                 send to all connections of that user:\n  \
                 curl -X POST http://{address}/v1/websocket/broadcast \
                 -H 'Authorization: Bearer {token}' \
                 -d '{{\"message\":{{\"type\":\"hello\",\"payload\":{{\"text\":\"hi\"}}}}}}'\n\
                 more tokens: dormouse token --user NAME [--admin]\n\n",
                state.settings.data_dir.display(),
            ));
        }
    }
    text
}
