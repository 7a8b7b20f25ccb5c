-- Aliases of this server, and the rooms that they lead to. Expand only: a landed file is never edited.

create table alias (
    alias text primary key,
    room bigint not null,           -- may be a room that is just being created
    creator integer not null,
    created_ts bigint not null
);
create index alias_room on alias (room);
