-- Relations between events, threads, reports, search, the directories. Expand only: a landed file is never edited.

-- An event that relates to another by a `rel_type`. The target is named by its ID, because it may come later, or never.
-- A redacted event relates to nothing any more.
create table relation (
    nr bigint primary key,          -- the child
    room bigint not null,
    target text not null,           -- the parent's event ID
    rel_type integer not null,
    type integer not null,          -- the child's type, sender and place in the room's history
    sender integer not null,
    ord bigint not null
);
create index relation_target on relation (target, rel_type, ord);

-- Each thread with its last answer's place. (The table `thread` counts what notifies, reactions to answers too.)
create table thread_answer (
    room bigint not null,
    root text not null,             -- its event ID
    last_ord bigint not null,
    primary key (room, root)
);
create index thread_answer_last on thread_answer (room, last_ord);

-- Called in the same statement as the commit, with its answer: what it stored is related, what it redacted is not any more.
-- A batch that is sent again has its relations already; `p_ord_base` is null then.
create function relate_v1(
    p_outcome smallint[], p_ord_base bigint[], r_nr bigint[],
    l_room integer[], l_at integer[], l_nr bigint[], l_target text[], l_rel_type integer[], l_thread boolean[],
    l_type integer[], l_sender integer[],
    d_room integer[], d_target bigint[]
) returns integer language plpgsql volatile
  set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
  set jit = off
as $$
declare
    ord_step constant bigint := 1048576;
begin
    if p_ord_base is null then
        return 0;
    end if;
    insert into relation (nr, room, target, rel_type, type, sender, ord)
        select u.nr, r_nr[u.room], u.target, u.rel_type, u.type, u.sender, p_ord_base[u.room] + ord_step * u.at
          from unnest(l_room, l_at, l_nr, l_target, l_rel_type, l_type, l_sender)
            as u (room, at, nr, target, rel_type, type, sender)
         where p_outcome[u.room] in (0, 3);
    -- Whoever writes into a room holds its lock, so that nobody else has these rows.
    insert into thread_answer as t (room, root, last_ord)
        select r_nr[u.room], u.target, max(p_ord_base[u.room] + ord_step * u.at)
          from unnest(l_room, l_at, l_target, l_thread) as u (room, at, target, thread)
         where u.thread and p_outcome[u.room] in (0, 3)
         group by 1, 2
        on conflict (room, root) do update set last_ord = greatest(t.last_ord, excluded.last_ord);
    delete from relation r using unnest(d_room, d_target) as u (room, target)
     where r.nr = u.target and p_outcome[u.room] in (0, 3);
    return cardinality(l_nr);
end
$$;

-- What users said against rooms, events and other users, for the server's administrators.
create table report (
    nr bigint primary key generated always as identity,
    ts bigint not null,
    reporter integer not null,
    room bigint,
    event_id text,
    target integer,                 -- the user, where one was reported
    reason text not null,
    score bigint
);

-- Rooms in the public directory.
create index room_public on room (nr) where public;

-- The words of users' names, in lower case, as the user directory looks for them.
create table user_word (
    usr integer not null,
    word text not null,
    primary key (usr, word)
);
create index user_word_prefix on user_word (word text_pattern_ops);
create index account_localpart on account (localpart text_pattern_ops) where not deactivated;

-- The words of messages, names and topics, filled behind the log in its order.
create table search (
    nr bigint primary key,
    room bigint not null,
    pos bigint not null,
    ord bigint not null,
    sender integer not null,
    type integer not null,
    words tsvector not null
);
create index search_words on search using gin (words);
create table search_cursor (
    only_row boolean primary key default true check (only_row),
    pos bigint not null
);
insert into search_cursor (pos) values (0);
