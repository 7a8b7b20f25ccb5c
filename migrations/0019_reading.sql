-- What readers are told: receipts that never go back, threads by the newest answer that is left, and who has settings.

-- Who has push rules or ignored users of their own: a node asks once, and follows the log from there.
create index account_data_settings on account_data (usr)
    where room = 0 and type in ('m.push_rules', 'm.ignored_user_list');

-- Called in the same statement as the commit, with its last position, which all of the batch's receipts get. Nodes can't know
-- what another one is just writing: here a receipt for an event that stands before the known one's changes nothing. Answers
-- which of the receipts stand now, counted from 1; the same again for a batch that is sent again.
create function receive_v1(
    p_last bigint,
    c_room bigint[], c_usr integer[], c_kind smallint[], c_thread text[], c_event_id text[], c_ts bigint[]
) returns integer[] language plpgsql volatile
  set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
  set jit = off
as $$
begin
    insert into receipt as r (room, usr, kind, thread, event_id, ts, pos)
        select distinct on (u.room, u.usr, u.kind, u.thread) u.room, u.usr, u.kind, u.thread, u.event_id, u.ts, p_last
          from unnest(c_room, c_usr, c_kind, c_thread, c_event_id, c_ts) with ordinality
            as u (room, usr, kind, thread, event_id, ts, i)
          left join event e on e.id = u.event_id
         order by u.room, u.usr, u.kind, u.thread, e.ord desc nulls last, u.i desc
        on conflict (room, usr, kind, thread) do update
           set event_id = excluded.event_id, ts = excluded.ts, pos = excluded.pos
         where coalesce((select e.ord from event e where e.id = r.event_id), -9223372036854775808)
               < (select e.ord from event e where e.id = excluded.event_id);
    return array(select u.i
                   from unnest(c_room, c_usr, c_kind, c_thread, c_event_id) with ordinality
                     as u (room, usr, kind, thread, event_id, i)
                   join receipt r on r.room = u.room and r.usr = u.usr and r.kind = u.kind and r.thread = u.thread
                  where r.event_id = u.event_id and r.pos = p_last order by u.i);
end
$$;

-- As relate_v1; where the last answer of a thread is redacted, the thread goes back to the place of the one before.
create function relate_v2(
    p_outcome smallint[], p_ord_base bigint[], r_nr bigint[],
    l_room integer[], l_at integer[], l_nr bigint[], l_target text[], l_rel_type integer[], l_thread boolean[],
    l_type integer[], l_sender integer[],
    d_room integer[], d_target bigint[]
) returns integer language plpgsql volatile
  set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
  set jit = off
as $$
declare
    related constant integer := relate_v1(p_outcome, p_ord_base, r_nr, l_room, l_at, l_nr, l_target, l_rel_type, l_thread,
                                          l_type, l_sender, '{}', '{}');
    gone record;
    newest bigint;
begin
    if p_ord_base is null then
        return related;
    end if;
    for gone in
        delete from relation r using unnest(d_room, d_target) as u (room, target)
         where r.nr = u.target and p_outcome[u.room] in (0, 3)
        returning r.room, r.target, r.rel_type, r.ord
    loop
        if exists (select from thread_answer t
                    where t.room = gone.room and t.root = gone.target and t.last_ord = gone.ord) then
            select max(r.ord) into newest from relation r
             where r.target = gone.target and r.rel_type = gone.rel_type and r.room = gone.room;
            if newest is null then
                delete from thread_answer where room = gone.room and root = gone.target;
            else
                update thread_answer set last_ord = newest where room = gone.room and root = gone.target;
            end if;
        end if;
    end loop;
    return related;
end
$$;
