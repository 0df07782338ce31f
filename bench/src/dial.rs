//! How a client gets its TCP connection and its upgrade.
//!
//! Used by every scenario with asynchronous WebSockets. Over loopback the connections come from
//! many addresses: one has some 28,000 ports to connect from.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::target::Target;

/// How many loopback addresses connections come from.
const SOURCES: usize = 16;
/// Read buffer of a connection. The library's default of 128 KiB would be 2 GB for 15,000.
const READ_BUFFER: usize = 8 << 10;

/// Connects to the server; over loopback from 127.0.0.2 and following, in turn.
///
/// # Errors
/// The system's: nobody there, too many files, no port left.
pub async fn connect(target: &Target) -> io::Result<TcpStream> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let mut refusal = None;
    for address in tokio::net::lookup_host((target.host(), target.port())).await? {
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        match connect_to(address, turn).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(err) => refusal = Some(err),
        }
    }
    Err(refusal.unwrap_or_else(|| io::Error::other("the name has no address")))
}

async fn connect_to(address: SocketAddr, turn: usize) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Only Linux answers on all of 127.0.0.0/8 without being told to.
    if cfg!(target_os = "linux")
        && let IpAddr::V4(ip) = address.ip()
        && ip.is_loopback()
    {
        let source = Ipv4Addr::new(127, 0, 0, 2 + (turn % SOURCES) as u8);
        socket.bind((source, 0).into())?;
    }
    socket.connect(address).await
}

/// Makes a WebSocket of a TCP connection.
///
/// # Errors
/// The server refuses or breaks the handshake.
pub async fn upgrade(
    request: impl IntoClientRequest + Unpin,
    stream: TcpStream,
) -> Result<(WebSocketStream<TcpStream>, Response), tokio_tungstenite::tungstenite::Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0);
    tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await
}
