-- Keys of end-to-end encryption. The server keeps them; it can read none of what they protect.

create table device_key (
    usr integer not null,
    device_id text not null,
    json text not null,             -- the signed device keys as uploaded
    primary key (usr, device_id)
);

-- A claimed key stays a while, so that a repeated upload can't bring it back to life.
create table one_time_key (
    nr bigint primary key generated always as identity,
    device bigint not null,
    algorithm text not null,
    key_id text not null,
    json text not null,
    claimed_ts bigint,
    unique (device, algorithm, key_id)
) with (autovacuum_vacuum_scale_factor = 0.05);
create index one_time_key_next on one_time_key (device, algorithm, nr) where claimed_ts is null;

create table fallback_key (
    device bigint not null,
    algorithm text not null,
    key_id text not null,
    json text not null,
    used boolean not null default false,
    primary key (device, algorithm)
);

create table cross_signing_key (
    usr integer not null,
    usage text not null,            -- master, self_signing, user_signing
    json text not null,
    primary key (usr, usage)
);

-- Signatures uploaded after the key that they are for.
create table key_signature (
    usr integer not null,           -- whose key
    target text not null,           -- device ID, or the cross-signing key's public part
    signer integer not null,
    key_id text not null,           -- e.g. ed25519:DEVICE
    signature text not null,
    primary key (usr, target, signer, key_id)
);

create table key_backup (
    usr integer not null,
    version bigint not null,
    algorithm text not null,
    auth_data text not null,
    etag bigint not null default 0,
    deleted boolean not null default false,
    primary key (usr, version)
);

create table key_backup_session (
    usr integer not null,
    version bigint not null,
    room_id text not null,
    session_id text not null,
    first_message_index bigint not null,
    forwarded_count bigint not null,
    is_verified boolean not null,
    session_data text not null,
    primary key (usr, version, room_id, session_id)
);
