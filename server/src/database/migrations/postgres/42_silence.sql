-- What is active, by its last sign of life: to find what is silent.
CREATE INDEX sessions_silence ON sessions (last_active_at) WHERE active = 1;
CREATE INDEX machines_silence ON machines (last_active_at) WHERE active = 1;
