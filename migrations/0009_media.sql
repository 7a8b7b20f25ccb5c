-- Media: uploads that come later, the folder that all nodes share, and what was fetched from other servers.
-- Expand only: a landed file is never edited.

-- Where the bytes lie in the folder; null: under the medium's own ID.
alter table media add column file text;
-- What a user's uploads take, from the index alone.
create index media_usage on media (usr) include (size);

-- IDs that were given out and wait for their upload.
create table media_pending (
    id text primary key,
    usr integer not null,
    expires_ts bigint not null
);
create index media_pending_user on media_pending (usr, expires_ts);
create index media_pending_expires on media_pending (expires_ts);

-- The shared folder: its marker file holds the same ID. What was uploaded before `frozen_ts` is still served to those
-- who show no access token.
create table media_folder (
    singleton boolean primary key default true check (singleton),
    id text not null,
    frozen_ts bigint not null
);

-- Other servers' media, fetched once.
create table remote_media (
    server text not null,
    id text not null,
    file text not null unique,          -- where the bytes lie in the folder
    content_type text,
    filename text,
    size bigint not null,
    created_ts bigint not null,         -- when it was fetched
    used_ts bigint not null,            -- to the day: what nobody looks at goes first
    primary key (server, id)
);
create index remote_media_used on remote_media (used_ts);
