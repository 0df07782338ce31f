-- Who may use the server: the states of accounts (pending, active, blocked, deleting), accounts that
-- were deleted, revoked tokens and invitations. Whatever changes who is refused takes the next number
-- of access_clock in the same transaction, so that a running server can ask for what is new: the row's
-- lock makes the order of the numbers that of the commits.
CREATE TABLE access_clock (
    id BIGINT PRIMARY KEY,
    version BIGINT NOT NULL
);
INSERT INTO access_clock (id, version) VALUES (1, 0);

ALTER TABLE accounts ADD COLUMN status TEXT NOT NULL DEFAULT 'active';
ALTER TABLE accounts ADD COLUMN signed_in_at BIGINT;
ALTER TABLE accounts ADD COLUMN access_version BIGINT NOT NULL DEFAULT 0;
CREATE INDEX accounts_by_status ON accounts (status, id);
CREATE INDEX accounts_by_access ON accounts (access_version);

-- Their tokens stay refused until the last of them has expired.
CREATE TABLE deleted_accounts (
    id TEXT COLLATE "C" PRIMARY KEY,
    deleted_at BIGINT NOT NULL,
    forget_at BIGINT NOT NULL,
    access_version BIGINT NOT NULL
);

CREATE TABLE revoked_tokens (
    token_hash TEXT COLLATE "C" PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    reason TEXT NOT NULL,
    revoked_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    access_version BIGINT NOT NULL
);
CREATE INDEX revoked_tokens_by_access ON revoked_tokens (access_version);
CREATE INDEX revoked_tokens_by_end ON revoked_tokens (expires_at);

-- The codes themselves are not kept.
CREATE TABLE invites (
    id TEXT COLLATE "C" PRIMARY KEY,
    code_hash TEXT COLLATE "C" NOT NULL UNIQUE,
    note TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    used_by TEXT COLLATE "C",
    revoked_at BIGINT
);
