use serde_json::json;

use super::server::TestServer;

const USERS: &str = "/admin/v1/users";

#[actix_rt::test]
async fn users_are_searched_sorted_and_paged() {
    let server = TestServer::start(&[
        ("tiers.free.connections_per_shard", "1"),
        ("tiers.free.max_shards", "3"),
    ])
    .await;
    let mut sockets = Vec::new();
    for (user, tier, connections) in [("anna", "free", 3), ("hannah", "pro", 2), ("bob", "pro", 1)]
    {
        let token = server.token_of_tier(user, tier);
        for _ in 0..connections {
            sockets.push(server.connect_with(&token, "").await);
        }
    }
    let get = async |query: &str| {
        let answer = server.as_admin("GET", &format!("{USERS}{query}"), "").await;
        answer.ok()
    };
    let names = |answer: &serde_json::Value| -> Vec<String> {
        let users = answer["users"].as_array().unwrap().iter();
        users
            .map(|user| user["user"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = get("").await;
    assert_eq!(names(&all), ["anna", "hannah", "bob"], "the busiest first");
    let anna = &all["users"][0];
    assert_eq!(
        (&anna["connections"], &anna["shards"]),
        (&json!(3), &json!(3))
    );
    assert_eq!((&anna["tier"], &all["total"]), (&json!("free"), &json!(3)));
    assert_eq!(anna["byType"]["user-scoped"], 3);
    assert_eq!(names(&get("?sort=name").await), ["anna", "bob", "hannah"]);
    let found = get("?search=anna").await;
    assert_eq!(
        (names(&found), &found["total"]),
        (vec!["anna".into(), "hannah".into()], &json!(2))
    );
    assert_eq!(
        names(&get("?tier=pro&sort=connections").await),
        ["bob", "hannah"]
    );
    let first = get("?limit=2").await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest = get(&format!("?limit=2&cursor={cursor}")).await;
    assert_eq!(
        (names(&rest), &rest["nextCursor"]),
        (vec!["bob".into()], &json!(null))
    );
    for (query, part) in [
        ("?sort=x", "sort must be"),
        ("?tier=x", "no tier"),
        ("?limit=501", "limit"),
        ("?cursor=x", "no cursor"),
    ] {
        let answer = server.as_admin("GET", &format!("{USERS}{query}"), "").await;
        answer.is_invalid(&[part]);
    }
    assert_eq!(server.as_user("a", "GET", USERS, "").await.status, 403);
    server.stop().await;
}
