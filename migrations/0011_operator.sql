-- What operators set for all nodes, and which binaries may use this schema. Expand only: a landed file is never edited.

-- `roost log`: wins over each node's `log.level`; null: nobody said.
alter table server add column log_level text;

-- The oldest schema that a binary must know to work on this one. A migration that only expands leaves it; one that takes
-- something away raises it to its own number, and older binaries refuse to start.
create table schema_floor (
    only_row boolean primary key default true check (only_row),
    version bigint not null
);
insert into schema_floor (version) values (1);
