-- The agent dashboard: records as JSON, beside the columns that are asked for.
CREATE TABLE dashboard_agents (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    is_deleted BIGINT NOT NULL,
    record TEXT NOT NULL
);
CREATE UNIQUE INDEX dashboard_agents_by_name ON dashboard_agents (name) WHERE is_deleted = 0;
CREATE TABLE dashboard_tasks (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    agent_id TEXT COLLATE "C" NOT NULL,
    is_active BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX dashboard_tasks_active ON dashboard_tasks (is_active, id);
CREATE TABLE dashboard_messages (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    is_waiting BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX dashboard_messages_waiting ON dashboard_messages (is_waiting, id);
CREATE TABLE dashboard_game_states (
    player_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    record TEXT NOT NULL
);
