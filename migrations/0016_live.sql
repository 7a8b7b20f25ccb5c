-- The log's generations: a new one begins where a restore or a failover may have lost the end of the one before. Sync tokens
-- name theirs, so that those of what was lost are cut back.
create table generation (
    nr bigint primary key,
    began bigint not null,          -- its first position: what the one before had from there on is lost
    lineage text,                   -- PostgreSQL's cluster and timeline; null: not known
    lost boolean not null default false,    -- a node has seen what is gone
    ts bigint not null
);
insert into generation (nr, began, ts) select generation, min(first), min(ts) from slice group by generation;
