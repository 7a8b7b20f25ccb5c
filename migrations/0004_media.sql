-- Media of local users. The bytes lie in the media folder, named after `id`.
create table media (
    id text primary key,
    usr integer not null,
    content_type text,
    filename text,
    size bigint not null,
    created_ts bigint not null
);
create index media_user on media (usr, created_ts);
