-- How search and the user directory find what they look for. Expand only: a landed file is never edited.

-- Words are looked for in a user's rooms and from the newest back: an entry is also found by its room and by the stretches
-- of the log in which it stands.
-- The words of an event with its room (`#12`) and its stretches of 2^13, 2^16, 2^19 and 2^22 positions (`<3`, `=0`, `>0`, `^0`).
-- No word of a text begins with a sign.
create function search_places(words tsvector, room bigint, pos bigint) returns tsvector
  language sql immutable parallel safe
  return words || array_to_tsvector(array['#' || room::text, '<' || (pos >> 13)::text, '=' || (pos >> 16)::text,
                                          '>' || (pos >> 19)::text, '^' || (pos >> 22)::text]);

-- In the place of the index over the words alone: an older node finds the same, slower, until it is replaced.
drop index search_words;
create index search_words on search using gin (search_places(words, room, pos)) with (gin_pending_list_limit = 1024);

-- Up to `p_most` of the entries with these places, and how well they fit `p_words`. By the index alone: where much fits, reading
-- the whole table until enough is found looks cheap.
create function holding_v1(p_places text, p_words text, p_most bigint)
returns table (nr bigint, room bigint, pos bigint, kind integer, sender integer, rank real, redacted boolean)
language sql stable
  set enable_seqscan = off set max_parallel_workers_per_gather = 0 set jit = off
as $$
    select s.nr, s.room, s.pos, s.type, s.sender, ts_rank(s.words, p_words::tsquery),
           exists (select from redaction d where d.target = s.nr)
      from (select * from search where search_places(words, room, pos) @@ p_places::tsquery limit p_most) s
$$;

-- The rules of a room that say who may come in and who may read, the newest last.
create index event_open on event (room, type, ord) where type in (5, 6);

-- Whether anybody may join the room, or read it. Stored events are canonical JSON, so that this text stands nowhere but in
-- the event's content: whoever may write it deeper inside may as well write it where it counts.
create function is_open_v1(p_room bigint) returns boolean language sql stable as $$
    select exists (
        select from (select e.nr from event e where e.room = p_room and e.type = 5 and e.state_key = 1 and e.ord is not null
                      order by e.ord desc limit 1) e
          join event_json j on j.nr = e.nr where j.json like '%"join_rule":"public"%'
        union all
        select from (select e.nr from event e where e.room = p_room and e.type = 6 and e.state_key = 1 and e.ord is not null
                      order by e.ord desc limit 1) e
          join event_json j on j.nr = e.nr where j.json like '%"history_visibility":"world_readable"%')
$$;
