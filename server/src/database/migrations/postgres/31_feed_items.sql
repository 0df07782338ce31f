-- What a user is told in the feed; bodies are JSON.
CREATE TABLE feed_items (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    counter BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    repeat_key TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (account_id, counter),
    UNIQUE (account_id, repeat_key)
);
