-- One call for a device's upload, and an index for who signed others' keys. Expand only: a landed file is never edited.

-- Whose keys a user signed, for that user's own devices.
create index key_signature_signer on key_signature (signer);

-- Stores what a device uploads, all or nothing, and returns what it has then: unclaimed one-time keys by algorithm, then,
-- without a count, the algorithms with a fallback key that nobody was given yet. A one-time key that is there already with
-- other bytes, claimed or not, fails the call with RK001 and the stored key as JSON in the detail.
create function upload_keys_v1(
    p_usr integer, p_device bigint, p_device_id text, p_device_keys text,
    p_algorithms text[], p_key_ids text[], p_keys text[],
    p_fallback_algorithms text[], p_fallback_ids text[], p_fallback_keys text[],
    p_forget bigint
) returns table (algorithm text, unclaimed bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
    stored bigint;
    old record;
begin
    if cardinality(p_keys) > 0 then
        delete from one_time_key where device = p_device and claimed_ts < p_forget;
        insert into one_time_key (device, algorithm, key_id, json)
        select p_device, u.algorithm, u.key_id, u.json
          from unnest(p_algorithms, p_key_ids, p_keys) as u (algorithm, key_id, json) order by 2, 3
            on conflict (device, algorithm, key_id) do nothing;
        get diagnostics stored = row_count;
        if stored < cardinality(p_keys) then
            select k.algorithm, k.key_id, k.json into old
              from one_time_key k join unnest(p_algorithms, p_key_ids, p_keys) as u (algorithm, key_id, json)
                on k.algorithm = u.algorithm and k.key_id = u.key_id
             where k.device = p_device and k.json <> u.json limit 1;
            if found then
                raise exception 'one-time key % exists with other bytes', old.algorithm || ':' || old.key_id
                    using errcode = 'RK001',
                          detail = json_build_object('algorithm', old.algorithm, 'key_id', old.key_id, 'json', old.json);
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
