-- What happens to users in one commit with its notice, and what bounds what they keep. Expand only: a landed file is never
-- edited.

-- A session that was passed stays a while: a client whose answer was lost shows it again.
alter table uia_session
    add column passed_ts bigint,
    add column made_usr integer,        -- the account that `/register` made, and its first device
    add column made_device text;

-- What deleted devices and deactivated users leave behind where it may be much. It is out of sight at once, and cleared behind
-- the log in small pieces, so that no commit waits for it.
create table remains (
    kind smallint not null,             -- 1 a device's keys and messages, 2 a user's key backups, 3 a user's account data
    nr bigint not null,
    primary key (kind, nr)
);

create index account_erased on account (usr) where erased;

-- How many sessions a backup has and what they take, as of an etag: an older node moves the etag on without counting.
alter table key_backup
    add column sessions bigint,
    add column bytes bigint,
    add column counted_etag bigint;

-- Deletes the devices named, or all but `p_keep` where none are, with what makes them speak and be seen. Returns how many.
create function delete_devices_v1(p_usr integer, p_named text[], p_keep bigint) returns integer
language plpgsql set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
    gone bigint[];
    names text[];
begin
    with d as (delete from device where usr = p_usr and nr is distinct from p_keep
                                    and (p_named is null or device_id = any (p_named)) returning nr, device_id)
    select array_agg(nr), array_agg(device_id) into gone, names from d;
    if gone is null then
        return 0;
    end if;
    delete from token where device = any (gone);
    delete from refresh_token where device = any (gone);
    delete from pusher where device = any (gone);
    delete from sliding_connection where device = any (gone);
    delete from device_key where usr = p_usr and device_id = any (names);
    delete from key_signature where usr = p_usr and target = any (names);
    delete from key_signature
     where signer = p_usr and key_id = any (array(select 'ed25519:' || x from unnest(names) as x));
    insert into remains (kind, nr) select 1, x from unnest(gone) as x on conflict do nothing;
    return cardinality(gone);
end
$$;

-- Logs a device in: makes it where it is new, and gives it new tokens instead of those that it had. Returns whether it is new.
-- Whoever has as many devices as are taken on loses the one that was not seen for the longest time.
create function log_in_v1(p_usr integer, p_with jsonb, p_now bigint) returns boolean
language plpgsql set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
    number bigint;
    is_new boolean := false;
begin
    select nr into number from device where usr = p_usr and device_id = p_with ->> 'device_id' for no key update;
    if not found then
        if (select count(*) from device where usr = p_usr) >= (p_with ->> 'most_devices')::integer then
            perform delete_devices_v1(p_usr, array(select device_id from device where usr = p_usr
                                                    order by coalesce(last_seen_ts, created_ts), nr limit 1), null);
        end if;
        insert into device (usr, device_id, display_name, created_ts)
            values (p_usr, p_with ->> 'device_id', p_with ->> 'display_name', p_now) returning nr into number;
        is_new := true;
    end if;
    delete from token where device = number;
    delete from refresh_token where device = number;
    insert into token (hash, usr, device, expires_ts, refresh)
        values (decode(p_with ->> 'access', 'hex'), p_usr, number, (p_with ->> 'expires_ts')::bigint,
                decode(p_with ->> 'refresh', 'hex'));
    if p_with ->> 'refresh' is not null then
        insert into refresh_token (hash, usr, device, created_ts)
            values (decode(p_with ->> 'refresh', 'hex'), p_usr, number, p_now);
    end if;
    return is_new;
end
$$;

-- One change of one user. `result`: 0 there is no such thing, 1 done, 2 it was so already, 3 the name is taken, 4 the token is
-- spent, 5 the session is gone. `is_told`: the device list is another one, and those who share rooms are to
-- hear of it. `drops`: caches drop what they know of the user. `others`: whose keys the user signed.
create function change_user_v1(
    p_usr integer, p_with jsonb, p_now bigint,
    out result smallint, out is_told boolean, out drops boolean, out others integer[]
) language plpgsql set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
    n integer;
    changed integer[];
begin
    result := 1;
    is_told := false;
    drops := false;
    others := '{}';
    -- Lock order: the user, then devices, then keys.
    perform 1 from account where usr = p_usr for no key update;
    case p_with ->> 'what'
    when 'log_out' then
        n := delete_devices_v1(p_usr,
            case when jsonb_typeof(p_with -> 'named') = 'array'
                 then array(select jsonb_array_elements_text(p_with -> 'named')) end,
            (p_with ->> 'keep')::bigint);
        is_told := n > 0;
        drops := is_told;
        result := case when is_told then 1 else 2 end;

    when 'log_in' then
        perform 1 from account where usr = p_usr and not deactivated and not locked
                                 and password is not distinct from p_with ->> 'password';
        if not found then
            result := 0;
            return;
        end if;
        if p_with ->> 'login_token' is not null then
            delete from login_token where hash = decode(p_with ->> 'login_token', 'hex') and expires_ts > p_now;
            if not found then
                result := 4;
                return;
            end if;
        end if;
        is_told := log_in_v1(p_usr, p_with, p_now);
        drops := true;

    when 'register' then
        if p_with ->> 'session' is not null then
            perform 1 from uia_session where id = p_with ->> 'session' and passed_ts is null for update;
            if not found then
                result := 5;
                return;
            end if;
        end if;
        if p_with ->> 'registration_token' is not null then
            perform 1 from registration_token
              where token = p_with ->> 'registration_token' and (uses_allowed is null or completed < uses_allowed)
                and (expires_ts is null or expires_ts > p_now) for update;
            if not found then
                result := 4;
                return;
            end if;
        end if;
        insert into account (usr, localpart, password, admin, created_ts)
            values (p_usr, p_with ->> 'localpart', p_with ->> 'password', (p_with ->> 'admin')::boolean, p_now)
            on conflict do nothing;
        if not found then
            result := 3;
            return;
        end if;
        insert into profile (usr, key, value)
            values (p_usr, 'displayname', to_json(p_with ->> 'localpart')::text) on conflict do nothing;
        update registration_token set completed = completed + 1 where token = p_with ->> 'registration_token';
        update uia_session set passed_ts = p_now, made_usr = p_usr, made_device = p_with -> 'log_in' ->> 'device_id'
         where id = p_with ->> 'session';
        if jsonb_typeof(p_with -> 'log_in') = 'object' then
            perform log_in_v1(p_usr, p_with -> 'log_in', p_now);
        end if;
        drops := true;

    when 'deactivate' then
        perform 1 from account where usr = p_usr;
        if not found then
            result := 0;
            return;
        end if;
        perform delete_devices_v1(p_usr, null, null);
        delete from login_token where usr = p_usr;
        delete from openid_token where usr = p_usr;
        delete from profile where usr = p_usr;
        delete from user_word where usr = p_usr;
        delete from uia_session where usr = p_usr;
        delete from cross_signing_key where usr = p_usr;
        delete from key_signature where usr = p_usr;
        delete from key_signature where signer = p_usr;
        update key_backup set deleted = true where usr = p_usr;
        insert into remains (kind, nr)
            select k, p_usr from unnest(case when (p_with ->> 'erase')::boolean then '{2,3}'::smallint[] else '{2}' end) as k
                on conflict do nothing;
        update account set deactivated = true, leaving = leaving or not deactivated, password = null, admin = false,
               erased = erased or (p_with ->> 'erase')::boolean where usr = p_usr;
        is_told := true;
        drops := true;

    when 'password' then
        update account set password = p_with ->> 'password' where usr = p_usr and not deactivated;
        if not found then
            result := 0;
            return;
        end if;
        drops := true;
        if (p_with ->> 'log_out')::boolean then
            is_told := delete_devices_v1(p_usr, null, (p_with ->> 'keep')::bigint) > 0;
        end if;

    when 'standing' then
        update account set admin = coalesce((p_with ->> 'admin')::boolean, admin),
               locked = coalesce((p_with ->> 'locked')::boolean, locked),
               suspended = coalesce((p_with ->> 'suspended')::boolean, suspended) where usr = p_usr;
        drops := found;
        result := case when found then 1 else 0 end;

    when 'refreshed' then
        delete from refresh_token where hash = decode(p_with ->> 'old', 'hex');
        delete from token where refresh = decode(p_with ->> 'old', 'hex');
        update refresh_token set replaces = null where replaces = decode(p_with ->> 'old', 'hex');
        update token set replaces = null where replaces = decode(p_with ->> 'old', 'hex');
        drops := true;

    when 'profile' then
        if p_with ->> 'value' is null then
            delete from profile where usr = p_usr and key = p_with ->> 'key';
        else
            insert into profile as p (usr, key, value) values (p_usr, p_with ->> 'key', p_with ->> 'value')
                on conflict (usr, key) do update set value = excluded.value where p.value <> excluded.value;
        end if;
        drops := found;
        result := case when found then 1 else 2 end;
        if found and jsonb_typeof(p_with -> 'words') = 'array' then
            delete from user_word where usr = p_usr;
            insert into user_word (usr, word) select distinct p_usr, x from jsonb_array_elements_text(p_with -> 'words') as x;
        end if;

    when 'device_name' then
        perform 1 from device where usr = p_usr and device_id = p_with ->> 'device_id';
        if not found then
            result := 0;
            return;
        end if;
        update device set display_name = p_with ->> 'name'
         where usr = p_usr and device_id = p_with ->> 'device_id' and display_name is distinct from p_with ->> 'name';
        -- Others see the name beside the keys.
        is_told := found and exists (select from device_key where usr = p_usr and device_id = p_with ->> 'device_id');
        result := case when found then 1 else 2 end;

    when 'device_keys' then
        perform 1 from device where nr = (p_with ->> 'device')::bigint for key share;
        if not found then
            result := 0;
            return;
        end if;
        insert into device_key as k (usr, device_id, json) values (p_usr, p_with ->> 'device_id', p_with ->> 'json')
            on conflict (usr, device_id) do update set json = excluded.json where k.json <> excluded.json;
        is_told := found;
        result := case when found then 1 else 2 end;

    when 'cross_signing' then
        -- Signatures over a key that is replaced say nothing any more.
        delete from key_signature k using (
            select p.value from cross_signing_key c, json_each_text(c.json::json -> 'keys') as p
             where c.usr = p_usr and p_with -> 'keys' ->> c.usage <> c.json) as old
         where (k.usr = p_usr and k.target = old.value or k.signer = p_usr and k.key_id = 'ed25519:' || old.value)
           and not exists (select from jsonb_each_text(p_with -> 'keys') as n, json_each_text(n.value::json -> 'keys') as p
                            where p.value = old.value);
        insert into cross_signing_key as k (usr, usage, json)
            select p_usr, u.key, u.value from jsonb_each_text(p_with -> 'keys') as u order by u.key
            on conflict (usr, usage) do update set json = excluded.json where k.json <> excluded.json;
        is_told := found;
        result := case when found then 1 else 2 end;

    when 'signatures' then
        with w as (
            insert into key_signature as k (usr, target, signer, key_id, signature)
                select u.usr, u.target, p_usr, u.key_id, u.signature
                  from jsonb_to_recordset(p_with -> 'list') as u (usr integer, target text, key_id text, signature text)
                 order by 1, 2, 4
                on conflict (usr, target, signer, key_id) do update set signature = excluded.signature
                 where k.signature <> excluded.signature
            returning usr)
        select array_agg(distinct usr) into changed from w;
        is_told := coalesce(p_usr = any (changed), false);
        others := coalesce(array_remove(changed, p_usr), '{}');
        -- What the user signed is kept with the user's keys.
        drops := others <> '{}';
        result := case when changed is null then 2 else 1 end;

    else
        raise exception 'no such change of a user: %', p_with ->> 'what';
    end case;
end
$$;

-- Changes of users, in an order that is the same for all batches. A batch that is sent again is told once; what it says then is
-- what its slice says.
create function change_listed_users_v1(
    p_writer bigint, p_batch bigint, p_now bigint, o_usr integer[], o_with text[],
    out again boolean, out outcome smallint[],
    out devices integer[], out rooms bigint[], out users integer[], out notices text[]
) language plpgsql volatile set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off
as $$
declare
    done record;
    told integer[] := '{}';
    item jsonb;
begin
    again := false;
    outcome := '{}';
    devices := '{}';
    rooms := '{}';
    users := '{}';
    notices := '{}';
    -- A first call whose connection broke may still be at it.
    perform pg_advisory_xact_lock(1501, hashint8(p_writer));
    select true, s.rooms, s.users, s.notices into again, rooms, users, notices
      from slice s where s.writer = p_writer and s.batch = p_batch;
    if found then
        for i in 1 .. cardinality(o_usr) loop
            item := o_with[i]::jsonb;
            item := coalesce(nullif(item -> 'log_in', 'null'), item);
            -- Whoever is handed tokens must have them.
            outcome[i] := case when item ? 'access'
                and not exists (select from token where hash = decode(item ->> 'access', 'hex')) then 0 else 1 end;
        end loop;
        return;
    end if;
    again := false;
    rooms := '{}';
    users := '{}';
    notices := '{}';
    for i in 1 .. cardinality(o_usr) loop
        select * into done from change_user_v1(o_usr[i], o_with[i]::jsonb, p_now);
        outcome[i] := done.result;
        if done.is_told then
            told := told || o_usr[i];
        end if;
        if done.drops then
            notices := notices || ('user:' || o_usr[i]);
        end if;
        if done.others <> '{}' then
            -- Only the signer's devices are shown a signature over somebody else's key, and only they are woken.
            devices := devices || done.others;
            users := users || o_usr[i];
        end if;
    end loop;
    devices := devices || told;
    users := users || told;
    rooms := array(select distinct m.room from member m where m.usr = any (told) and m.membership = 1);
end
$$;

-- Called before the commit, in its statement: what it did is told in that commit, or neither is there. Most batches change no user,
-- and pay for this call alone: it sets nothing, because that costs more than all else that it does.
create function change_users_v1(
    p_writer bigint, p_batch bigint, p_now bigint, o_usr integer[], o_with text[],
    out again boolean, out outcome smallint[],
    out devices integer[], out rooms bigint[], out users integer[], out notices text[]
) language plpgsql volatile
as $$
begin
    if o_usr = '{}' then
        again := false;
        outcome := '{}';
        devices := '{}';
        rooms := '{}';
        users := '{}';
        notices := '{}';
        return;
    end if;
    select c.again, c.outcome, c.devices, c.rooms, c.users, c.notices
      into again, outcome, devices, rooms, users, notices
      from change_listed_users_v1(p_writer, p_batch, p_now, o_usr, o_with) as c;
end
$$;

create index claimed_key_ts on claimed_key using brin (ts);

-- As upload_keys_v1, without device keys, which come by the commit; fails with RK002 where the device would have more than
-- `p_most` one-time keys that nobody claimed.
create function upload_keys_v2(
    p_usr integer, p_device bigint, p_device_id text,
    p_algorithms text[], p_key_ids text[], p_keys text[],
    p_fallback_algorithms text[], p_fallback_ids text[], p_fallback_keys text[],
    p_forget bigint, p_most bigint
) returns table (algorithm text, unclaimed bigint)
language plpgsql set plan_cache_mode = force_generic_plan
as $$
declare
    total bigint := 0;
begin
    for algorithm, unclaimed in
        select k.algorithm, k.unclaimed
          from upload_keys_v1(p_usr, p_device, p_device_id, null, p_algorithms, p_key_ids, p_keys,
                              p_fallback_algorithms, p_fallback_ids, p_fallback_keys, p_forget) as k
    loop
        total := total + coalesce(unclaimed, 0);
        return next;
    end loop;
    if total > p_most and cardinality(p_keys) > 0
        or cardinality(p_fallback_keys) > 0 and (select count(*) from fallback_key f where f.device = p_device) > 10
    then
        raise exception 'a device has % one-time keys at most', p_most using errcode = 'RK002';
    end if;
    -- So many names of given keys are remembered: the oldest are those that nobody uploads again. Looked at now and then.
    if cardinality(p_keys) > 0 and random() < 0.05 then
        delete from claimed_key c where c.device = p_device and c.ts < (
            select o.ts from claimed_key o where o.device = p_device order by o.ts desc offset 10000 limit 1);
    end if;
end
$$;
