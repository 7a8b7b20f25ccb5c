-- The commit appends and looks back: nothing that every commit touches is updated in place. A version of a row that an open
-- snapshot may still see can't be removed, and whoever looks for the newest one passes them all: under a backup each commit
-- cost more than the one before. Expand only: a landed file is never edited.

-- Whoever commits has looked at `slice` first: this waits for those who are at it.
lock table slice, counter, room_head, txn in access exclusive mode;

-- A room's head is its last event, and what else a head had is there: null where the event is the room's only extremity.
alter table event add column extremities bigint[];
update event e set extremities = h.extremities
  from room_head h where e.nr = h.tail and h.extremities <> array[h.tail];

-- What is left of the old heads are rows to lock. `notified` is that of rooms without an event since there are counts.
alter table room_head rename to room_lock;
alter table room_lock drop column tail, drop column frame, drop column next_ord, drop column last_pos, drop column extremities;
create view room_head as
    select l.room, e.nr as tail, e.frame, e.ord + 1048576 as next_ord, e.pos as last_pos,
           coalesce(e.extremities, array[e.nr]) as extremities, coalesce(e.main_count, l.notified) as notified,
           l.held_by, l.held_until
      from room_lock l
     cross join lateral (select * from event where room = l.room and ord is not null order by ord desc limit 1) e;

-- A call of the functions before that was begun by now is made again by its node, and then finds the new ones.
create function come_again() returns trigger language plpgsql as $$
begin
    raise exception 'the schema has changed under a commit' using errcode = 'serialization_failure';
end
$$;
create trigger come_again instead of insert or update on room_head for each row execute function come_again();
create trigger come_again before update on counter for each statement execute function come_again();

-- Idempotency keys of sends: 8 of the 16 bytes, with the device's number in them, and the event, which tells whose request it
-- was. Dropped by day.
create table sent (
    key bigint primary key,
    nr bigint not null,
    at integer not null             -- minutes since 1970
);
create index sent_at on sent using brin (at);
create function sent_key_v1(device bigint, key bytea) returns bigint language sql immutable
    return ('x' || encode(substr(key, 1, 8), 'hex'))::bit(64)::bigint # device;
insert into sent (key, nr, at)
    select sent_key_v1(t.device, t.key), e.nr, (t.at / 60000)::integer from txn t join event e on e.id = t.event_id
    on conflict do nothing;
truncate txn;

drop function commit_v1;
update schema_floor set version = greatest(version, 7);

-- As commit_v2, with the heads and keys above. No statement's cost grows faster than what it is given.
create function commit_v3(
    p_writer bigint, p_batch bigint, p_now bigint,
    -- rooms that events go to, each once
    r_nr bigint[], r_id text[], r_version text[], r_public boolean[],   -- id and version only where the room is new
    r_built_on bigint[], r_built_frame bigint[],                        -- the head that the drafts were built on
    r_changes_state boolean[], r_tail bigint[],                         -- whether they do; the head after them
    r_events integer[],                                                 -- how many events
    r_hold boolean[],                                                   -- refused before: is to be first now
    x_nr bigint[],                                                      -- extremities that the drafts consume
    -- events, in the order of their rooms; frames, memberships and redactions that come with them
    e_room integer[], e_nr bigint[], e_id text[], e_type integer[], e_sender integer[], e_state_key integer[],
    e_ts bigint[], e_depth bigint[], e_frame bigint[], e_replaces bigint[], e_flags smallint[], e_json text[],
    e_device bigint[], e_txn_id text[],
    e_place integer[], e_noted smallint[], e_main bigint[],             -- from 0 in its room; what it does; notifying ones up to it
    h_event integer[], h_thread text[], h_notified bigint[],            -- events in threads; notifying ones of the thread up to it
    n_event integer[], n_usr integer[], n_notify smallint[], n_highlight smallint[],  -- whom it concerns otherwise than everybody
    f_room integer[], f_nr bigint[], f_n integer[], f_base bigint[], f_delta bytea[],
    m_event integer[], m_usr integer[], m_membership smallint[],
    t_event integer[], t_key bigint[],                                  -- events of a transaction, with their keys of `sent`
    d_room integer[], d_target bigint[], d_by bigint[], d_json text[],
    -- what needs no head: receipts, account data, to-device messages with their requests' keys, device-list changes
    c_room bigint[], c_usr integer[], c_kind smallint[], c_thread text[], c_event_id text[], c_ts bigint[],
    a_usr integer[], a_room bigint[], a_type text[], a_json text[],
    k_device bigint[], k_key bytea[], q_group integer[], q_usr integer[], q_device bigint[], q_json text[],
    v_usr integer[],
    -- whom to wake and what caches must drop besides
    w_rooms bigint[], w_users integer[], w_notices text[],
    out generation bigint, out first bigint, out last bigint, out outcome smallint[], out ord_base bigint[],
    out known_event integer[], out known_event_id text[]
) language plpgsql volatile
  set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
  set jit = off
as $$
#variable_conflict use_column
declare
    ord_step constant bigint := 1048576;
    hold constant interval := '250 ms';
    n_rooms constant integer := cardinality(r_nr);
    n_events integer := 0;
    n_positions bigint;
    base bigint;
    tails bigint[];
    notified bigint[];
    held bigint[];
    others bigint[];                -- keys that requests of other devices have
    beside boolean;
    fresh boolean[];
begin
    -- A batch resubmitted after a lost connection gets its first outcome.
    select s.generation, s.first, s.last, s.outcome into generation, first, last, outcome
      from slice s where s.writer = p_writer and s.batch = p_batch;
    if found then
        return;
    end if;
    first := 0;
    last := 0;
    outcome := '{}';
    ord_base := '{}';

    if n_rooms > 0 then
        if array_remove(r_id, null) <> '{}' then
            insert into room (nr, id, version, created_ts, public)
                select u.nr, u.id, u.version, p_now, u.public
                  from unnest(r_nr, r_id, r_version, r_public) as u (nr, id, version, public) where u.id is not null;
            insert into room_lock (room) select u.nr from unnest(r_nr, r_id) as u (nr, id) where u.id is not null;
        end if;

        -- Lock order: rooms by number. Only then the heads are read, by a statement that sees what others stored before.
        perform from room_lock l where l.room = any (r_nr) order by l.room for no key update;
        select array_agg(u.ord order by u.i), array_agg(u.notified order by u.i), array_agg(u.tail order by u.i),
               array_agg(u.outcome order by u.i), array_agg(u.room) filter (where u.outcome = 1 and u.hold),
               bool_or(u.outcome = 3 or u.width > 1 or u.tail <> 0 and u.tail not in (select x from unnest(x_nr) as x)),
               coalesce(sum(u.events) filter (where u.outcome in (0, 3)), 0)
          into ord_base, notified, tails, outcome, held, beside, n_events
          from (select u.i, u.hold, u.events, u.nr as room, coalesce(e.nr, 0) as tail, coalesce(e.ord, 0) + ord_step as ord,
                       coalesce(e.main_count, l.notified, 0) as notified, coalesce(cardinality(e.extremities), 1) as width,
                       case when l.held_by <> p_writer and l.held_until > clock_timestamp() then 4
                            when coalesce(e.nr, 0) = u.built_on then 0
                            when u.changes_state or e.frame is distinct from u.built_frame or cardinality(e.extremities) >= 10 then 1
                            else 3 end::smallint as outcome
                  from unnest(r_nr, r_built_on, r_built_frame, r_changes_state, r_events, r_hold) with ordinality
                    as u (nr, built_on, built_frame, changes_state, events, hold, i)
                  left join room_lock l on l.room = u.nr
                  left join lateral (select t.nr, t.ord, t.frame, t.main_count, t.extremities from event t
                                      where t.room = u.nr and t.ord is not null order by t.ord desc limit 1) e on true) u;

        if held is not null then
            update room_lock set held_by = p_writer, held_until = clock_timestamp() + hold where room = any (held);
        end if;

        -- Known transactions, read after the locks: whoever stored them held the same room.
        if cardinality(t_key) > 0 then
            select array_agg(u.event) filter (where e.device = e_device[u.event]),
                   array_agg(e.id) filter (where e.device = e_device[u.event]),
                   array_agg(u.key) filter (where e.device is distinct from e_device[u.event])
              into known_event, known_event_id, others
              from unnest(t_event, t_key) as u (event, key) join sent t on t.key = u.key join event e on e.nr = t.nr;
            if known_event is not null then
                for i in 1 .. cardinality(known_event) loop
                    outcome[e_room[known_event[i]]] := 2;
                end loop;
                select coalesce(sum(u.events), 0) into n_events
                  from unnest(outcome, r_events) as u (outcome, events) where u.outcome in (0, 3);
            end if;
        end if;

        insert into event_json (nr, json)
            select u.nr, u.json from unnest(e_room, e_nr, e_json) as u (room, nr, json) where outcome[u.room] in (0, 3);
        if cardinality(f_nr) > 0 then
            insert into frame (nr, room, n, base, delta)
                select u.nr, r_nr[u.room], u.n, u.base, u.delta
                  from unnest(f_room, f_nr, f_n, f_base, f_delta) as u (room, nr, n, base, delta)
                 where outcome[u.room] in (0, 3);
        end if;
        if cardinality(t_key) > 0 then
            insert into sent (key, nr, at)
                select u.key, e_nr[u.event], (p_now / 60000)::integer from unnest(t_event, t_key) as u (event, key)
                 where outcome[e_room[u.event]] in (0, 3) and u.key <> all (coalesce(others, '{}'));
        end if;
        if cardinality(d_target) > 0 then
            insert into redaction (target, by_event)
                select u.target, u.by_event from unnest(d_room, d_target, d_by) as u (room, target, by_event)
                 where outcome[u.room] in (0, 3)
                on conflict (target) do nothing;
            update event_json j set json = u.json
              from unnest(d_room, d_target, d_json) as u (room, target, json)
             where j.nr = u.target and outcome[u.room] in (0, 3);
        end if;
    end if;

    -- A repeated sendToDevice finds its key taken and queues nothing.
    if cardinality(k_device) > 0 then
        with taken as (
            insert into to_device_txn (device, key, at)
                select u.device, u.key, p_now from unnest(k_device, k_key) as u (device, key) where u.key is not null
                on conflict do nothing returning device, key)
        select array_agg(u.key is null or u.i = u.earliest and (u.device, u.key) in (select device, key from taken)
                         order by u.i)
          into fresh
          from (select u.device, u.key, u.i, min(u.i) over (partition by u.device, u.key) as earliest
                  from unnest(k_device, k_key) with ordinality as u (device, key, i)) u;
    end if;

    n_positions := n_events + cardinality(c_room) + cardinality(a_usr) + cardinality(q_usr) + cardinality(v_usr)
        + case when cardinality(w_rooms) + cardinality(w_users) + cardinality(w_notices) > 0 then 1 else 0 end;
    if n_positions = 0 then
        return;
    end if;

    -- The counter last: a row to lock, and the newest slice. What follows needs positions and is bounded by the batch.
    perform from counter where only_row for update;
    select v.generation, coalesce((select s.last from slice s order by s.last desc limit 1), 0) + 1 into generation, first
      from server v where v.only_row;
    last := first + n_positions - 1;
    base := first - 1;

    if n_events > 0 then
        insert into event
                (nr, room, id, pos, ord, type, sender, state_key, ts, depth, frame, replaces, flags, device, txn_id,
                 noted, main_count)
            select u.nr, r_nr[u.room], u.id, base + row_number() over (order by u.i),
                   ord_base[u.room] + ord_step * u.place,
                   u.type, u.sender, u.state_key, u.ts, u.depth, u.frame, u.replaces, u.flags,
                   u.device, u.txn_id, u.noted, notified[u.room] + u.main
              from unnest(e_room, e_nr, e_id, e_type, e_sender, e_state_key, e_ts, e_depth, e_frame, e_replaces, e_flags,
                          e_device, e_txn_id, e_place, e_noted, e_main) with ordinality
                as u (room, nr, id, type, sender, state_key, ts, depth, frame, replaces, flags,
                      device, txn_id, place, noted, main, i)
             where outcome[u.room] in (0, 3);
        -- Where events lie side by side, the room's last one names them all.
        if beside then
            update event e set extremities = p.extremities || e.nr
              from unnest(r_tail, tails) with ordinality as u (tail, prior, i)
             cross join lateral (
                   select array_agg(x.nr) as extremities
                     from event p cross join unnest(coalesce(p.extremities, array[p.nr])) as x (nr)
                    where p.nr = u.prior and x.nr not in (select c from unnest(x_nr) as c)) p
             where e.nr = u.tail and outcome[u.i] in (0, 3) and p.extremities is not null;
        end if;
        -- What few events do.
        if cardinality(h_event) > 0 then
            insert into event_thread (nr, room, thread, pos, count)
                select e.nr, e.room, u.thread, e.pos, coalesce(t.count, 0) + u.notified
                  from unnest(h_event, h_thread, h_notified) as u (event, thread, notified)
                  join event e on e.nr = e_nr[u.event]
                  left join thread t on t.room = e.room and t.root = u.thread
                 where outcome[e_room[u.event]] in (0, 3);
            insert into thread (room, root, count, last_pos)
                select distinct on (e.room, e.thread) e.room, e.thread, e.count, e.pos
                  from unnest(h_event) as u (event) join event_thread e on e.nr = e_nr[u.event]
                 where outcome[e_room[u.event]] in (0, 3)
                 order by e.room, e.thread, e.pos desc
                on conflict (room, root) do update set count = excluded.count, last_pos = excluded.last_pos;
        end if;
        if cardinality(n_event) > 0 then
            insert into mention (usr, room, pos, thread, notify, highlight, counted)
                select u.usr, e.room, e.pos, coalesce(t.thread, ''), u.notify, u.highlight, e.noted
                  from unnest(n_event, n_usr, n_notify, n_highlight) as u (event, usr, notify, highlight)
                  join event e on e.nr = e_nr[u.event]
                  left join event_thread t on t.nr = e.nr
                 where outcome[e_room[u.event]] in (0, 3);
        end if;
        if 3 = any (e_noted) then
            insert into count_change (room, pos, dead, at, thread, sender, notify, highlight)
                select e.room, e.pos, false, e.pos, coalesce(t.thread, ''), e.sender, 0, 1
                  from unnest(e_room, e_nr, e_noted) as u (room, nr, noted)
                  join event e on e.nr = u.nr left join event_thread t on t.nr = e.nr
                 where u.noted = 3 and outcome[u.room] in (0, 3);
        end if;
        if cardinality(d_target) > 0 then
            insert into count_change (room, pos, dead, at, thread, sender, notify, highlight)
                select e.room, e.pos, true, r.pos, coalesce(t.thread, ''), e.sender, -(e.noted & 1), -(e.noted >> 1)
                  from unnest(d_room, d_target, d_by) as u (room, target, by_event)
                  join event e on e.nr = u.target join event r on r.nr = u.by_event
                  left join event_thread t on t.nr = e.nr
                 where outcome[u.room] in (0, 3) and e.pos is not null and e.noted is not null
                on conflict do nothing;
        end if;
        if cardinality(m_event) > 0 then
            insert into member (room, usr, membership, nr, pos, since)
                select distinct on (e.room, u.usr) e.room, u.usr, u.membership, e.nr, e.pos, e.pos
                  from unnest(m_event, m_usr, m_membership) as u (event, usr, membership)
                  join event e on e.nr = e_nr[u.event]
                 where outcome[e_room[u.event]] in (0, 3)
                 order by e.room, u.usr, e.pos desc
                on conflict (room, usr) do update
                   set membership = excluded.membership, nr = excluded.nr, pos = excluded.pos, forgotten = false,
                       since = case when excluded.membership = member.membership
                                    then coalesce(member.since, member.pos) else excluded.pos end;
        end if;
        if true = any (r_changes_state) then
            update room_lock l set held_until = '-infinity'
              from unnest(r_nr, r_changes_state) with ordinality as u (nr, changes_state, i)
             where l.room = u.nr and u.changes_state and outcome[u.i] in (0, 3) and l.held_until > '-infinity';
        end if;
        base := base + n_events;
    end if;

    if cardinality(c_room) > 0 then
        insert into receipt (room, usr, kind, thread, event_id, ts, pos)
            select distinct on (u.room, u.usr, u.kind, u.thread)
                   u.room, u.usr, u.kind, u.thread, u.event_id, u.ts, base + u.i
              from unnest(c_room, c_usr, c_kind, c_thread, c_event_id, c_ts) with ordinality
                as u (room, usr, kind, thread, event_id, ts, i)
             order by u.room, u.usr, u.kind, u.thread, u.i desc
            on conflict (room, usr, kind, thread) do update
               set event_id = excluded.event_id, ts = excluded.ts, pos = excluded.pos;
        base := base + cardinality(c_room);
    end if;
    if cardinality(a_usr) > 0 then
        insert into account_data (usr, room, type, json, pos)
            select distinct on (u.usr, u.room, u.type) u.usr, u.room, u.type, u.json, base + u.i
              from unnest(a_usr, a_room, a_type, a_json) with ordinality as u (usr, room, type, json, i)
             order by u.usr, u.room, u.type, u.i desc
            on conflict (usr, room, type) do update set json = excluded.json, pos = excluded.pos;
        base := base + cardinality(a_usr);
    end if;
    -- Device lists before to-device messages: a change is never announced after that device's first message.
    if cardinality(v_usr) > 0 then
        insert into device_change (usr, pos)
            select u.usr, base + max(u.i) from unnest(v_usr) with ordinality as u (usr, i) group by u.usr order by u.usr
            on conflict (usr) do update set pos = excluded.pos;
        base := base + cardinality(v_usr);
    end if;
    if cardinality(q_usr) > 0 then
        insert into to_device (device, pos, usr, json)
            select u.device, base + u.i, u.usr, u.json
              from unnest(q_group, q_usr, q_device, q_json) with ordinality as u (owner, usr, device, json, i)
             where fresh[u.owner];
    end if;

    insert into slice (last, first, generation, writer, batch, rooms, users, notices, outcome, ts)
        values (last, first, generation, p_writer, p_batch,
                array(select u.nr from unnest(r_nr, outcome) as u (nr, outcome) where u.outcome in (0, 3))
                    || array(select distinct x from unnest(w_rooms || c_room) as x),
                array(select distinct x from unnest(w_users || a_usr || q_usr || v_usr
                    || array(select u.usr from unnest(m_event, m_usr) as u (event, usr)
                              where outcome[e_room[u.event]] in (0, 3))) as x),
                w_notices, outcome, p_now);
end
$$;

-- What older nodes call.
create or replace function commit_v2(
    p_writer bigint, p_batch bigint, p_now bigint,
    r_nr bigint[], r_id text[], r_version text[], r_public boolean[],
    r_built_on bigint[], r_built_frame bigint[],
    r_changes_state boolean[], r_tail bigint[], r_frame bigint[],
    r_events integer[], r_notified bigint[],
    r_hold boolean[],
    x_room integer[], x_nr bigint[],
    e_room integer[], e_nr bigint[], e_id text[], e_type integer[], e_sender integer[], e_state_key integer[],
    e_ts bigint[], e_depth bigint[], e_frame bigint[], e_replaces bigint[], e_flags smallint[], e_json text[],
    e_device bigint[], e_txn_id text[],
    e_place integer[], e_noted smallint[], e_main bigint[],
    h_event integer[], h_thread text[], h_notified bigint[],
    n_event integer[], n_usr integer[], n_notify smallint[], n_highlight smallint[],
    f_room integer[], f_nr bigint[], f_n integer[], f_base bigint[], f_delta bytea[],
    m_event integer[], m_usr integer[], m_membership smallint[],
    t_room integer[], t_device bigint[], t_key bytea[], t_event_id text[],
    d_room integer[], d_target bigint[], d_by bigint[], d_json text[],
    c_room bigint[], c_usr integer[], c_kind smallint[], c_thread text[], c_event_id text[], c_ts bigint[],
    a_usr integer[], a_room bigint[], a_type text[], a_json text[],
    k_device bigint[], k_key bytea[], q_group integer[], q_usr integer[], q_device bigint[], q_json text[],
    v_usr integer[],
    w_rooms bigint[], w_users integer[], w_notices text[],
    out generation bigint, out first bigint, out last bigint, out outcome smallint[], out ord_base bigint[],
    out known_device bigint[], out known_key bytea[], out known_event_id text[]
) language plpgsql volatile as $$
#variable_conflict use_variable
declare
    t_event integer[] := array(select e.i from unnest(t_event_id) with ordinality as t (id, i)
                                 join unnest(e_id) with ordinality as e (id, i) on e.id = t.id order by t.i);
    known integer[];
begin
    select c.generation, c.first, c.last, c.outcome, c.ord_base, c.known_event, c.known_event_id
      into generation, first, last, outcome, ord_base, known, known_event_id
      from commit_v3(
           p_writer, p_batch, p_now, r_nr, r_id, r_version, r_public, r_built_on, r_built_frame, r_changes_state, r_tail,
           r_events, r_hold, x_nr, e_room, e_nr, e_id, e_type, e_sender, e_state_key, e_ts, e_depth, e_frame, e_replaces,
           e_flags, e_json, e_device, e_txn_id, e_place, e_noted, e_main, h_event, h_thread, h_notified, n_event, n_usr,
           n_notify, n_highlight, f_room, f_nr, f_n, f_base, f_delta, m_event, m_usr, m_membership, t_event,
           array(select sent_key_v1(t.device, t.key) from unnest(t_device, t_key) with ordinality as t (device, key, i)
                  order by t.i),
           d_room, d_target, d_by, d_json, c_room, c_usr, c_kind, c_thread, c_event_id, c_ts, a_usr, a_room, a_type,
           a_json, k_device, k_key, q_group, q_usr, q_device, q_json, v_usr, w_rooms, w_users, w_notices) as c;
    select array_agg(t_device[t.i] order by k.i), array_agg(t_key[t.i] order by k.i) into known_device, known_key
      from unnest(known) with ordinality as k (event, i)
      join unnest(t_event) with ordinality as t (event, i) on t.event = k.event;
end
$$;
