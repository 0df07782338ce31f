//! Ports, and what a proxy in front must be trusted with.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use dormouse_config::{ListenAddress, Settings};

use super::Finding;

/// How long what holds a port may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether each address can be listened on, or already is by a Dormouse.
pub(super) fn ports(settings: &Settings) -> Vec<Finding> {
    let all = settings.listen.iter().chain(&settings.admin.listen);
    all.map(port).collect()
}

fn port(address: &ListenAddress) -> Finding {
    const CHECK: &str = "port";
    let shown = address.to_string();
    let resolved = address.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    let Some(first) = resolved.ok().and_then(|all| all.into_iter().next()) else {
        return Finding::bad(
            CHECK,
            format!("{shown} is no address here"),
            "change listen",
        );
    };
    match TcpListener::bind(first) {
        Ok(_) => Finding::good(CHECK, format!("{shown} is free")),
        Err(err) if err.kind() == ErrorKind::AddrInUse => {
            if is_dormouse(first) {
                Finding::good(CHECK, format!("{shown} is served by a running dormouse"))
            } else {
                let found = format!("{shown} is taken by another program");
                let remedy = format!(
                    "find it with `ss -ltnp`, or choose another with --listen ({})",
                    first.port()
                );
                Finding::bad(CHECK, found, remedy)
            }
        }
        Err(err) if err.kind() == ErrorKind::PermissionDenied => Finding::bad(
            CHECK,
            format!("{shown} is for root only"),
            "listen on a port from 1024 on, behind a proxy; or let systemd give \
             AmbientCapabilities=CAP_NET_BIND_SERVICE",
        ),
        Err(err) => Finding::bad(CHECK, format!("{shown}: {err}"), "change listen"),
    }
}

fn is_dormouse(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.take(16 * 1024).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains("Dormouse"))
}

/// Whether clients' addresses are believed from the right side.
pub(super) fn proxies(settings: &Settings) -> Vec<Finding> {
    const CHECK: &str = "proxy headers";
    let trusted = &settings.http.trusted_proxies;
    let mut findings = Vec::new();
    for network in trusted.iter().filter(|network| network.prefix_len() == 0) {
        findings.push(Finding::bad(
            CHECK,
            format!("http.trusted_proxies has {network}: every client can pretend to be any other"),
            "name the addresses of your proxies only",
        ));
    }
    let wide = |network: &&ipnet::IpNet| {
        let least = if network.addr().is_ipv4() { 8 } else { 32 };
        (1..least).contains(&network.prefix_len())
    };
    for network in trusted.iter().filter(wide) {
        findings.push(Finding::warning(
            CHECK,
            format!("http.trusted_proxies has {network}, a large part of the internet"),
            "name the addresses of your proxies only",
        ));
    }
    let is_open = settings
        .listen
        .iter()
        .filter_map(|address| address.to_socket_addrs().ok())
        .flatten()
        .any(|address| !address.ip().is_loopback());
    if !findings.is_empty() {
        return findings;
    }
    let limit = settings.auth.max_pending_per_address;
    findings.push(match (trusted.is_empty(), settings.is_production(), is_open) {
        (false, ..) => Finding::good(
            CHECK,
            format!("X-Forwarded-For is believed from {} named", trusted.len()),
        ),
        (true, true, false) => Finding::warning(
            CHECK,
            format!(
                "no proxy is named, and clients come through one: all share its address and its \
                 {limit} places for connections without credentials"
            ),
            "set http.trusted_proxies=127.0.0.1, and let the proxy set X-Forwarded-For \
             (deploy/nginx, deploy/caddy)",
        ),
        (true, true, true) => Finding::warning(
            CHECK,
            "no proxy is named, and other machines can connect without TLS",
            "put a proxy in front (deploy/nginx, deploy/caddy) and name it in \
             http.trusted_proxies; without one, tokens cross the network as they are",
        ),
        (true, false, _) => Finding::good(CHECK, "development: no proxy"),
    });
    findings
}

#[cfg(test)]
mod tests {
    use dormouse_config::Loader;

    use super::super::Verdict;
    use super::*;

    fn settings(flags: &[(&str, &str)]) -> Settings {
        let loader = flags.iter().fold(Loader::new(), |loader, (key, value)| {
            loader.flag(*key, *value)
        });
        loader.load().unwrap().settings
    }

    #[test]
    fn ports_are_free_or_taken() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let asked = settings(&[("listen", &address.to_string())]);
        // What holds it says that it is something else.
        let other = std::thread::spawn(move || {
            let (mut stream, _) = held.accept().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nother");
        });
        let found = &ports(&asked)[0];
        other.join().unwrap();
        assert_eq!(found.verdict, Verdict::Bad, "{found:?}");
        assert!(found.found.contains("another program"), "{found:?}");
        let free = settings(&[("listen", "127.0.0.1:0"), ("admin.listen", "127.0.0.1:0")]);
        assert!(
            ports(&free)
                .iter()
                .all(|found| found.verdict == Verdict::Good)
        );
        assert_eq!(ports(&free).len(), 2);
    }

    #[test]
    fn proxies_are_judged_by_whom_they_let_pretend() {
        let secret = ("auth.secret", "0123456789abcdef0123456789abcdef");
        let open = ("listen", "0.0.0.0:0");
        let trust = |network| ("http.trusted_proxies", network);
        for (flags, expected) in [
            (&[][..], Verdict::Good),
            (&[secret], Verdict::Warning),
            (&[secret, open], Verdict::Warning),
            (&[secret, trust("127.0.0.1/32")], Verdict::Good),
            (&[secret, trust("10.0.0.0/8")], Verdict::Good),
            (&[secret, trust("128.0.0.0/1")], Verdict::Warning),
            (&[secret, trust("0.0.0.0/0")], Verdict::Bad),
            (&[secret, trust("::/0")], Verdict::Bad),
        ] {
            let found = proxies(&settings(flags));
            assert_eq!(found[0].verdict, expected, "{flags:?}: {found:?}");
        }
    }
}
