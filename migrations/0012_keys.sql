-- One call for a device's upload and one for a claim, and an index for who signed others' keys. Expand only: a landed file
-- is never edited.

-- Whose keys a user signed, for that user's own devices.
create index key_signature_signer on key_signature (signer);

-- One-time keys that were given out, for a while: a repeated upload can't bring one back to life. Where `one_time_key` has
-- rows with a `claimed_ts`, an older node claimed them.
create table claimed_key (
    device bigint not null,
    name text not null,             -- algorithm:key_id
    hash bigint not null,           -- of the key's text
    ts bigint not null,
    primary key (device, name)
) with (autovacuum_vacuum_scale_factor = 0.05);

-- Claims the oldest one-time key of each device and algorithm. Two claims at once never get the same key.
create function claim_keys_v1(p_usrs integer[], p_device_ids text[], p_algorithms text[], p_now bigint)
returns table (usr integer, device_id text, device bigint, algorithm text, key_id text, json text)
language plpgsql set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    return query
        with picked as (
            select d.usr, d.device_id, k.place
              from unnest(p_usrs, p_device_ids, p_algorithms) as w (usr, device_id, algorithm)
              join device d on d.usr = w.usr and d.device_id = w.device_id
             cross join lateral (select o.ctid as place from one_time_key o
                                  where o.device = d.nr and o.algorithm = w.algorithm and o.claimed_ts is null
                                  order by o.nr limit 1 for update skip locked) k),
        given as (
            delete from one_time_key o using picked p where o.ctid = p.place
            returning p.usr, p.device_id, o.device, o.algorithm, o.key_id, o.json),
        remembered as (
            insert into claimed_key (device, name, hash, ts)
            select g.device, g.algorithm || ':' || g.key_id, hashtextextended(g.json, 0), p_now from given g
                on conflict (device, name) do nothing returning device)
        -- A key that an older node brought back to life goes without being given.
        select g.usr, g.device_id, g.device, g.algorithm, g.key_id, g.json from given g
         where g.device = any(array(select r.device from remembered r));
end
$$;

-- Stores what a device uploads, all or nothing, and returns what it has then: unclaimed one-time keys by algorithm, then,
-- without a count, the algorithms with a fallback key that nobody was given yet. A one-time key that is there already with
-- other bytes, claimed or not, fails the call with RK001 and the key as JSON in the detail; a claimed one has lost its text.
create function upload_keys_v1(
    p_usr integer, p_device bigint, p_device_id text, p_device_keys text,
    p_algorithms text[], p_key_ids text[], p_keys text[],
    p_fallback_algorithms text[], p_fallback_ids text[], p_fallback_keys text[],
    p_forget bigint
) returns table (algorithm text, unclaimed bigint)
language plpgsql set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    stored bigint;
    given_out bigint;
    old record;
begin
    if cardinality(p_keys) > 0 then
        delete from one_time_key where device = p_device and claimed_ts < p_forget;
        delete from claimed_key where device = p_device and ts < p_forget;
        insert into one_time_key (device, algorithm, key_id, json)
        select p_device, u.algorithm, u.key_id, u.json
          from unnest(p_algorithms, p_key_ids, p_keys) as u (algorithm, key_id, json) order by 2, 3
            on conflict (device, algorithm, key_id) do nothing;
        get diagnostics stored = row_count;
        -- Looked at now and not before: the insert may have waited for the claim of one of these keys.
        delete from one_time_key o using claimed_key c
         where o.device = p_device and c.device = p_device and c.name = o.algorithm || ':' || o.key_id;
        get diagnostics given_out = row_count;
        if stored - given_out < cardinality(p_keys) then
            select u.algorithm, u.key_id, k.json into old
              from unnest(p_algorithms, p_key_ids, p_keys) as u (algorithm, key_id, json)
              left join one_time_key k on k.device = p_device and k.algorithm = u.algorithm and k.key_id = u.key_id
              left join claimed_key c on c.device = p_device and c.name = u.algorithm || ':' || u.key_id
             where k.json <> u.json or c.hash <> hashtextextended(u.json, 0) limit 1;
            if found then
                raise exception 'one-time key %:% exists with other bytes', old.algorithm, old.key_id
                    using errcode = 'RK001',
                          detail = json_build_object('algorithm', old.algorithm, 'key_id', old.key_id,
                                                     'json', coalesce(old.json, 'null'));
            end if;
        end if;
    end if;
    if cardinality(p_fallback_keys) > 0 then
        insert into fallback_key as f (device, algorithm, key_id, json)
        select p_device, u.algorithm, u.key_id, u.json
          from unnest(p_fallback_algorithms, p_fallback_ids, p_fallback_keys) as u (algorithm, key_id, json)
            on conflict (device, algorithm) do update
               set key_id = excluded.key_id, json = excluded.json, used = false where f.json <> excluded.json;
    end if;
    if p_device_keys is not null then
        insert into device_key as k (usr, device_id, json) values (p_usr, p_device_id, p_device_keys)
            on conflict (usr, device_id) do update set json = excluded.json where k.json <> excluded.json;
    end if;
    return query
        select k.algorithm, count(*) from one_time_key k
         where k.device = p_device and k.claimed_ts is null group by k.algorithm
        union all
        select f.algorithm, null from fallback_key f where f.device = p_device and not f.used order by 1;
end
$$;
