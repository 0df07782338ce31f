use super::client::Answer;
use super::server::TestServer;

#[actix_rt::test]
async fn the_page_is_served_without_a_token_under_a_strict_policy() {
    let server = TestServer::start(&[]).await;
    let get = |path: &'static str| Answer::to(server.request("GET", path));
    let page = get("/admin/").await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(page.text.starts_with("<!doctype html>"), "{}", page.text);
    let policy = page.header("content-security-policy").unwrap().to_owned();
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "style-src 'self';",
        "connect-src 'self';",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (path, kind) in [
        ("/admin/main.js", "text/javascript; charset=utf-8"),
        ("/admin/style.css", "text/css; charset=utf-8"),
        ("/admin/icon.svg", "image/svg+xml"),
    ] {
        let file = get(path).await;
        assert_eq!(
            (file.status, file.header("content-type")),
            (200, Some(kind)),
            "{path}"
        );
        let tag = file.header("etag").unwrap();
        let again = server.request("GET", path).header("if-none-match", tag);
        let again = Answer::to(again).await;
        assert_eq!((again.status, &*again.text), (304, ""), "{path}");
    }
    get("/admin/main.ts")
        .await
        .is_error(404, &["/admin/main.ts"]);
    server.stop().await;
}

#[actix_rt::test]
async fn the_page_moves_to_the_admins_own_address() {
    let server = TestServer::start(&[("admin.listen", "127.0.0.1:0")]).await;
    let main = Answer::to(server.request("GET", "/admin/")).await;
    main.is_error(404, &["/admin/"]);
    let admin = server.admin.unwrap();
    let page = Answer::to(server.request_at(admin, "GET", "/admin/")).await;
    assert_eq!(page.status, 200);
    // The panel for trying things out talks to the other address.
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("connect-src 'self' ws: wss:"), "{policy}");
    server.stop().await;
}
