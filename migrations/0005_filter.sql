-- Filters that clients stored. Never changed, so that they may be cached for ever.
create table filter (
    usr integer not null,
    id integer not null,            -- counts from 1 for each user
    hash bytea not null,            -- equal filters share a number
    json text not null,
    primary key (usr, id),
    unique (usr, hash)
);
