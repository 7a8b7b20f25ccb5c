-- Upgrades of rooms that are under way, so that one that stops half-way is gone on with by any node; finished ones for as
-- long as their requests may be repeated.
create table upgrade (
    -- The room that is replaced, and the one that takes its place.
    room bigint primary key,
    successor bigint not null,
    -- In whose name.
    usr integer not null,
    version text not null,
    creators text[] not null,
    -- The old room's state from which the new one is made.
    frame bigint not null,
    -- Whether the directory lists it.
    public boolean not null,
    -- Who works on it, and until when nobody else does; in milliseconds since the Unix epoch.
    holder bigint not null,
    held_until bigint not null,
    done_ts bigint
);
