-- Files of sessions; their contents are in the data folder. A row outlives its session and its
-- account until the content is removed.
CREATE TABLE session_files (
    id TEXT COLLATE "C" PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    size BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    stored_at BIGINT,
    removed_at BIGINT
);
CREATE INDEX session_files_by_session ON session_files (session_id);
CREATE INDEX session_files_by_account ON session_files (account_id);
CREATE INDEX session_files_unfinished ON session_files (created_at) WHERE stored_at IS NULL OR removed_at IS NOT NULL;
