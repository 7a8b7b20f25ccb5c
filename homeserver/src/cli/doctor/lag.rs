//! What slows the database down without failing: a snapshot that somebody holds, and who follows the log far behind.

use sqlx::PgPool;

use super::finding::Finding;
use crate::storage::{
    self,
    lag::{self, Followers, Snapshot},
};

/// A backup of a large database takes minutes; what is older was forgotten.
const LONG_SECONDS: i64 = 600;
/// A follower that is farther behind is not just about to look.
const FAR: i64 = 100_000;

pub(super) async fn look(pool: &PgPool) -> storage::Result<Vec<Finding>> {
    Ok(vec![snapshot(lag::oldest_snapshot(pool).await?), followers(lag::followers(pool).await?)])
}

fn snapshot(oldest: Option<Snapshot>) -> Finding {
    let about = "snapshots";
    let Some(Snapshot { seconds, pid, holder }) = oldest else { return Finding::good(about, "nobody holds one") };
    let found = format!("the oldest is of {seconds} s ago ({holder}, process {pid})");
    if seconds < LONG_SECONDS {
        return Finding::good(about, found);
    }
    let how = match pid {
        0 => format!("`rollback prepared '{holder}'` ends it"),
        pid => format!("`select pg_terminate_backend({pid})` ends it"),
    };
    Finding::advice(about, found, format!("while it lasts PostgreSQL clears nothing away and writes get slower; {how}"))
}

fn followers(Followers { words, pushes }: Followers) -> Finding {
    let (about, found) = ("followers", format!("words {words} and pushes {pushes} positions behind the log"));
    if words.max(pushes) < FAR {
        return Finding::good(about, found);
    }
    Finding::advice(about, found, "look for WARN in the log; a node that has just started catches up by itself")
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    #[test]
    fn what_is_old_or_far_behind_is_said() {
        let of = |seconds| snapshot(Some(Snapshot { seconds, pid: 7, holder: "pg_dump".to_owned() }));
        assert_eq!(
            (of(20).verdict, of(3600).verdict, snapshot(None).verdict),
            (Verdict::Good, Verdict::Advice, Verdict::Good)
        );
        assert!(of(3600).advice.is_some_and(|how| how.contains("pg_terminate_backend(7)")));
        let behind = |words, pushes| followers(Followers { words, pushes }).verdict;
        assert_eq!((behind(10, 20), behind(FAR, 0), behind(0, FAR)), (Verdict::Good, Verdict::Advice, Verdict::Advice));
    }
}
