//! Access tokens and refresh tokens, by their hashes.

use sqlx::{FromRow, PgConnection, PgPool};

use super::{DeviceNr, Result, UserNr};

/// SHA-256 of a token.
pub type Hash = [u8; 32];

/// What an access token opens.
#[derive(Debug, Clone, FromRow)]
pub struct Opened {
    pub usr: UserNr,
    pub localpart: String,
    pub admin: bool,
    pub locked: bool,
    pub suspended: bool,
    pub device: DeviceNr,
    pub device_id: String,
    pub expires_ts: Option<i64>,
    /// The refresh token that this first use puts out of service.
    pub replaces: Option<Vec<u8>>,
}

/// Tokens to be issued to a device.
#[derive(Debug, Clone, Copy)]
pub struct Issue<'a> {
    pub access: &'a Hash,
    pub expires_ts: Option<i64>,
    pub refresh: Option<&'a Hash>,
}

/// What the access token with this hash opens.
pub async fn find(pool: &PgPool, hash: &Hash) -> Result<Option<Opened>> {
    let sql = "select t.usr, a.localpart, a.admin, a.locked, a.suspended, t.device, d.device_id, t.expires_ts, t.replaces \
                 from token t join device d on d.nr = t.device join account a on a.usr = t.usr \
                where t.hash = $1 and not a.deactivated";
    Ok(sqlx::query_as(sql).bind(hash.as_slice()).fetch_optional(pool).await?)
}

/// What a refresh token belongs to.
#[derive(Debug, Clone, FromRow)]
pub struct Refreshable {
    pub usr: UserNr,
    pub device: DeviceNr,
    pub locked: bool,
    pub replaces: Option<Vec<u8>>,
}

/// What the refresh token with this hash belongs to.
pub async fn find_refresh(pool: &PgPool, hash: &Hash) -> Result<Option<Refreshable>> {
    let sql = "select r.usr, r.device, a.locked, r.replaces from refresh_token r \
                 join device d on d.nr = r.device join account a on a.usr = r.usr \
                where r.hash = $1 and not a.deactivated";
    Ok(sqlx::query_as(sql).bind(hash.as_slice()).fetch_optional(pool).await?)
}

/// Issues the successors of the refresh token `old`, which stays good until one of them is used: a client that lost the
/// answer may ask again. `false`: `old` is out of service.
pub async fn refresh(pool: &PgPool, old: &Hash, issue: Issue<'_>, now: i64) -> Result<bool> {
    let mut transaction = pool.begin().await?;
    let owner: Option<(UserNr, DeviceNr)> =
        sqlx::query_as("select usr, device from refresh_token where hash = $1 for update")
            .bind(old.as_slice())
            .fetch_optional(&mut *transaction)
            .await?;
    let Some((usr, device)) = owner else { return Ok(false) };
    for sql in ["delete from token where replaces = $1", "delete from refresh_token where replaces = $1"] {
        sqlx::query(sql).bind(old.as_slice()).execute(&mut *transaction).await?;
    }
    let sql = "insert into token (hash, usr, device, expires_ts, refresh, replaces) values ($1, $2, $3, $4, $5, $6)";
    let refresh = issue.refresh.map(<[u8; 32]>::as_slice);
    sqlx::query(sql)
        .bind(issue.access.as_slice())
        .bind(usr)
        .bind(device)
        .bind(issue.expires_ts)
        .bind(refresh)
        .bind(old.as_slice())
        .execute(&mut *transaction)
        .await?;
    if let Some(refresh) = refresh {
        let sql = "insert into refresh_token (hash, usr, device, replaces, created_ts) values ($1, $2, $3, $4, $5)";
        sqlx::query(sql)
            .bind(refresh)
            .bind(usr)
            .bind(device)
            .bind(old.as_slice())
            .bind(now)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// Drops what expired before `before`: by then no client asks any more why it was logged out.
pub async fn sweep(conn: &mut PgConnection, before: i64) -> Result<()> {
    // A token with a refresh token goes with its device.
    sqlx::query("delete from token where expires_ts < $1 and refresh is not null").bind(before).execute(conn).await?;
    Ok(())
}
