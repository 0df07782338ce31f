//! What it costs to know who is calling: a token verified anew, one found in the worker's cache,
//! and a ticket redeemed.
#![allow(missing_docs, clippy::expect_used, reason = "a bench")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use dormouse_server::auth::{
    MintRequest, RevocationList, ServerSecret, TicketSettings, Tickets, TokenCache, Verifier,
    VerifierSettings,
};

const NOW: u64 = 1_700_000_000_000;

fn secret() -> ServerSecret {
    ServerSecret::from_bytes(b"the secret of this bench, 32 bytes or more").expect("a secret")
}

fn verifier() -> Verifier {
    let revoked = Arc::new(RevocationList::new());
    Verifier::new(&secret(), VerifierSettings::default(), revoked, NOW).expect("a verifier")
}

fn mint(verifier: &Verifier, user: &str) -> String {
    let request = MintRequest {
        user,
        tier: Some("pro"),
        ..MintRequest::default()
    };
    verifier.mint(&request, NOW).expect("a token").into_string()
}

fn tokens(criterion: &mut Criterion) {
    let verifier = verifier();
    let token = mint(&verifier, "user-1");
    criterion.bench_function("token/verify cold EdDSA", |bencher| {
        bencher.iter(|| {
            verifier
                .verify_user(black_box(&token), NOW)
                .expect("a good token")
        });
    });

    // As many tokens as a busy worker sees, in an order that the branch predictor cannot learn.
    let mut cache = TokenCache::new(16_384);
    let tokens: Vec<_> = (0..4_096)
        .map(|user| mint(&verifier, &format!("user-{user}")))
        .collect();
    for token in &tokens {
        verifier
            .verify_user_cached(&mut cache, token, NOW)
            .expect("a good token");
    }
    let mut next = 0;
    criterion.bench_function("token/cache hit, one of 4096", |bencher| {
        bencher.iter(|| {
            next = (next + 1_597) % tokens.len();
            verifier
                .verify_user_cached(&mut cache, black_box(&tokens[next]), NOW)
                .expect("a hit")
        });
    });
    criterion.bench_function("token/cache hit, one token", |bencher| {
        bencher.iter(|| {
            verifier
                .verify_user_cached(&mut cache, black_box(&tokens[0]), NOW)
                .expect("a hit")
        });
    });
}

fn tickets(criterion: &mut Criterion) {
    let tickets = Tickets::new(&secret(), &TicketSettings::default());
    let mut now = NOW;
    criterion.bench_function("ticket/redeem", |bencher| {
        bencher.iter_batched(
            || {
                // A ticket per millisecond, so that spent ones are swept as in service.
                now += 1;
                (
                    tickets
                        .issue("user-1", Some("pro"), None, now)
                        .expect("a ticket")
                        .into_string(),
                    now,
                )
            },
            |(ticket, now)| {
                tickets
                    .redeem(black_box(&ticket), now)
                    .expect("a good ticket")
            },
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("ticket/issue", |bencher| {
        bencher.iter(|| {
            tickets
                .issue(black_box("user-1"), Some("pro"), None, NOW)
                .expect("a ticket")
        });
    });
}

criterion_group!(auth, tokens, tickets);
criterion_main!(auth);
