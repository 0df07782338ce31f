-- Users. A row is made when a key signs in, or when a token's subject first needs one, and then has
-- no key. `purged_seq` is the highest change_seq of a tombstone that was removed for its age.
CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    public_key TEXT UNIQUE,
    seq BIGINT NOT NULL DEFAULT 0,
    feed_seq BIGINT NOT NULL DEFAULT 0,
    purged_seq BIGINT NOT NULL DEFAULT 0,
    settings TEXT,
    settings_version BIGINT NOT NULL DEFAULT 0,
    first_name TEXT,
    last_name TEXT,
    username TEXT UNIQUE,
    github_user_id TEXT UNIQUE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
