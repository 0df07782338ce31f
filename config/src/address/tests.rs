use super::*;

#[test]
fn addresses_tell_whether_other_machines_can_reach_them() {
    let cases = [
        ("127.0.0.1:8787", true),
        ("127.9.9.9:0", true),
        ("[::1]:8787", true),
        ("[::ffff:127.0.0.1]:8787", true),
        ("localhost:8787", true),
        ("LocalHost:0", true),
        ("0.0.0.0:8787", false),
        ("[::]:8787", false),
        ("192.168.0.7:80", false),
        ("[::ffff:10.0.0.1]:80", false),
    ];
    for (text, is_loopback) in cases {
        let address: ListenAddress = text.parse().unwrap();
        assert_eq!(address.is_loopback(), is_loopback, "{text}");
        assert_eq!(address.to_string().parse(), Ok(address));
    }
}

#[test]
fn localhost_gives_both_loopback_addresses() {
    let address: ListenAddress = "localhost:80".parse().unwrap();
    let given: Vec<_> = address
        .to_socket_addrs()
        .unwrap()
        .map(|found| found.to_string())
        .collect();
    assert_eq!(given, ["127.0.0.1:80", "[::1]:80"]);
    let address: ListenAddress = "0.0.0.0:1".parse().unwrap();
    assert_eq!(address.to_socket_addrs().unwrap().len(), 1);
    assert_eq!(address.port(), 1);
}

#[test]
fn addresses_are_refused_with_a_remedy() {
    let cases = [
        ("", "write an address and a port"),
        ("8787", "write an address and a port"),
        ("127.0.0.1", "write \"127.0.0.1:8787\""),
        ("::1", "write \"[::1]:8787\""),
        ("127.0.0.1:", "no port from 0 to 65535"),
        ("127.0.0.1:65536", "no port from 0 to 65535"),
        (":8787", "write \"0.0.0.0:8787\" for every interface"),
        ("*:8787", "write \"0.0.0.0:8787\" for every interface"),
        ("example.com:80", "write \"0.0.0.0:80\" for every interface"),
        (
            "http://localhost:80",
            "write \"0.0.0.0:80\" for every interface",
        ),
    ];
    for (text, remedy) in cases {
        let message = text.parse::<ListenAddress>().unwrap_err().to_string();
        assert!(message.contains(remedy), "{text}: {message}");
    }
}

#[test]
fn origins_are_those_that_browsers_send() {
    let good = [
        "https://app.example.com",
        "http://localhost:3000",
        "http://127.0.0.1:8080",
        "https://[2001:db8::1]:8443",
        "http://[::1]",
        "https://xn--bcher-kva.example",
        "tauri://localhost",
        "chrome-extension://abcdefghijklmnop",
        "https://example.com:80",
    ];
    for text in good {
        assert_eq!(CorsOrigin::parse(text).unwrap().as_str(), text);
    }
    let bad = [
        ("*", "every site"),
        ("", "no scheme"),
        ("null", "no scheme"),
        ("app.example.com", "no scheme"),
        ("://a.b", "no scheme"),
        ("HTTPS://a.b", "scheme in lower case"),
        ("https://a.b/", "no slash"),
        ("https://a.b/path", "no slash"),
        ("https://a.b?q", "has a path"),
        ("https://user@a.b", "user name"),
        ("https://A.b", "lower-case"),
        ("https://bücher.example", "ASCII"),
        ("https://", "no host"),
        ("https://*.example.com", "no host name"),
        ("https://[::01]", "no host name"),
        ("https://[::1", "no host name"),
        ("https://a.b:443", "default port"),
        ("http://a.b:80", "default port"),
        ("https://a.b:0", "bad port"),
        ("https://a.b:", "bad port"),
        ("https://a.b:08", "bad port"),
        ("https://a.b:70000", "bad port"),
    ];
    for (text, reason) in bad {
        let message = CorsOrigin::parse(text).unwrap_err();
        assert!(message.contains(reason), "{text}: {message}");
        assert!(message.contains("\"https://app.example.com\""), "{message}");
    }
}

#[test]
fn proxies_are_addresses_or_networks() {
    let one = IpNet::parse("10.0.0.7").unwrap();
    assert_eq!(
        (one.prefix_len(), Element::text(&one).as_str()),
        (32, "10.0.0.7")
    );
    let network = IpNet::parse("fd00::/8").unwrap();
    assert!(network.contains(&"fd12::1".parse::<IpAddr>().unwrap()));
    assert_eq!(Element::text(&network), "fd00::/8");
    for text in ["", "10.0.0.0/33", "10.0.0", "proxy.internal"] {
        assert!(
            IpNet::parse(text).unwrap_err().contains("10.0.0.0/8"),
            "{text}"
        );
    }
}
