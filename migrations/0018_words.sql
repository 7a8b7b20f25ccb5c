-- Words are taken in by small steps, each by index. Expand only: a landed file is never edited.

-- The messages, names and topics of the commits after `p_after` and up to `p_until`. A commit has few rooms and few events, and
-- each room's are found by its index: however long the log is, a commit costs the same.
create function said_v1(p_after bigint, p_until bigint)
returns table (nr bigint, room bigint, pos bigint, ord bigint, sender integer, kind integer, json text)
language sql stable
  set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off
  set max_parallel_workers_per_gather = 0 set jit = off
as $$
    select e.nr, e.room, e.pos, e.ord, e.sender, e.type, j.json
      from (select s.first, s.last, r.room from slice s cross join lateral (select distinct x from unnest(s.rooms) as x) as r (room)
             where s.last > p_after and s.last <= p_until offset 0) s
     cross join lateral (
           select * from event e where e.room = s.room and e.pos >= s.first and e.pos <= s.last order by e.pos offset 0) e
      join event_json j on j.nr = e.nr
     where e.type in (8, 11, 17) and e.ord is not null and not exists (select from redaction d where d.target = e.nr)
$$;
