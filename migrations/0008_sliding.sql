-- What sliding-sync connections know, so that another node can go on with them. Not logged: after a crash of the database
-- clients begin their connections anew.
create unlogged table sliding_connection (
    device bigint not null,
    connection text not null,       -- the client's name for it, behind 'c'; empty where it gave none
    nr bigint not null,             -- the state's number, which the client's token names
    state text not null,
    before_nr bigint,               -- the state from which it was made: a client whose answer was lost names it again
    before_state text,
    at bigint not null,
    primary key (device, connection)
) with (fillfactor = 70);
