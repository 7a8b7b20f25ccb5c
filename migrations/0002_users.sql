-- Users of this server: accounts, devices, tokens, profiles. Expand only: a landed file is never edited.

create table account (
    usr integer primary key,            -- the interned user ID
    localpart text not null unique,
    password text,                      -- argon2id, as a PHC string; null: nobody logs in with a password
    admin boolean not null default false,
    locked boolean not null default false,
    suspended boolean not null default false,
    deactivated boolean not null default false,
    erased boolean not null default false,
    leaving boolean not null default false,     -- deactivated, and some node still has to leave its rooms
    created_ts bigint not null
);
create index account_leaving on account (usr) where leaving;

-- A deleted device's number never comes back: what other tables hold of it is dead with it.
create table device (
    nr bigint generated always as identity unique,
    usr integer not null,
    device_id text not null,
    display_name text,
    created_ts bigint not null,
    last_seen_ts bigint,
    last_seen_ip text,
    primary key (usr, device_id)
) with (fillfactor = 80);

-- Tokens are kept as SHA-256 only: they are random, and nobody who reads this table can use it to log in.
create table token (
    hash bytea primary key,
    usr integer not null,
    device bigint not null,
    expires_ts bigint,                  -- null: never
    refresh bytea,                      -- the refresh token that was issued with it
    replaces bytea                      -- the refresh token that its first use puts out of service
);
create index token_device on token (device);
create index token_usr on token (usr);
create index token_refresh on token (refresh) where refresh is not null;
create index token_replaces on token (replaces) where replaces is not null;

create table refresh_token (
    hash bytea primary key,
    usr integer not null,
    device bigint not null,
    replaces bytea,
    created_ts bigint not null
);
create index refresh_token_device on refresh_token (device);
create index refresh_token_usr on refresh_token (usr);
create index refresh_token_replaces on refresh_token (replaces) where replaces is not null;

-- For m.login.token: used once.
create table login_token (
    hash bytea primary key,
    usr integer not null,
    expires_ts bigint not null
);
create index login_token_usr on login_token (usr);

create table openid_token (
    hash bytea primary key,
    usr integer not null,
    expires_ts bigint not null
);

create table registration_token (
    token text primary key,
    uses_allowed integer,               -- null: any number
    completed integer not null default 0,
    expires_ts bigint,                  -- null: never
    created_ts bigint not null,
    standing boolean not null default false     -- the one that quickstart prints at each start
);
create unique index registration_token_standing on registration_token (standing) where standing;

-- User-interactive authentication: any node can continue it.
create table uia_session (
    id text primary key,
    operation text not null,            -- the endpoint
    usr integer,                        -- who asked; null where nobody was logged in
    bound bytea not null,               -- hash over what was asked for
    completed text[] not null default '{}',
    registration_token text,
    created_ts bigint not null
);
create index uia_session_created on uia_session (created_ts);

create table profile (
    usr integer not null,
    key text not null,
    value text not null,                -- JSON
    primary key (usr, key)
);
