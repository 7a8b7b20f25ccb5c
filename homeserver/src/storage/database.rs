//! The database of a node or a command: the configured one, or the private cluster.

use std::{
    num::NonZero,
    path::PathBuf,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use sqlx::{PgPool, postgres::PgConnectOptions};

use crate::{
    config::Config,
    postgres::{self, Cluster, ClusterError, Holder, Sizes},
};

/// PostgreSQL 15, as it numbers itself.
const OLDEST_VERSION: i32 = 150_000;
/// How long a database that does not answer yet is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a database can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The private cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// `database.url` can't be parsed.
    #[error("`database.url` is not a database address: {0}")]
    Address(sqlx::Error),
    /// A file that `database.url` names.
    #[error("`{key}` in `database.url`: can't read {}: {source}", .path.display())]
    File {
        /// `sslrootcert` and the like.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Its certificate, or what else belongs to TLS, is not as `database.url` demands.
    #[error(
        "the database can't be spoken to with TLS: {0}. `sslrootcert` in `database.url` names the authority that signed the \
         server's certificate, which must hold the host's name (`sslmode=verify-full`)"
    )]
    Tls(String),
    /// It does not let us in.
    #[error("the database can't be opened: {0}")]
    Unreachable(sqlx::Error),
    /// Older than the schema needs.
    #[error("the database is PostgreSQL {0}: Roost needs 15 or newer")]
    TooOld(String),
    /// Not UTF-8.
    #[error(
        "the database is encoded in {0}: make it anew with `createdb --encoding=UTF8 --locale=C --template=template0`"
    )]
    Encoding(String),
    /// A question about it failed.
    #[error(transparent)]
    Storage(#[from] super::Error),
    /// A newer Roost took away what this one needs.
    #[error(
        "the database's schema is number {version}, which needs a Roost that knows number {floor} at least; this one knows \
         {}: run a newer version, or restore a backup from before the upgrade",
        super::schema::known()
    )]
    SchemaTooNew {
        /// The newest migration that ran.
        version: i64,
        /// The oldest that must be known.
        floor: i64,
    },
    /// A command's, where no server ever was.
    #[error(
        "there is no server in {0}: `roost quickstart` or `roost serve` makes one; --config names another server's \
         configuration, --data-dir its folder"
    )]
    NoServer(String),
    /// To be restored into, and not empty.
    #[error("the database is not empty: a backup is restored into a new one only (createdb)")]
    NotEmpty,
    /// To be restored into, and there already.
    #[error("{} is there already: a backup is restored into a new data folder only", .0.display())]
    ClusterExists(PathBuf),
    /// The schema can't be brought up to date.
    #[error("can't prepare the database's schema: {0}")]
    Schema(#[from] sqlx::migrate::MigrateError),
}

/// An opened database whose schema is up to date.
#[derive(Debug)]
pub struct Database {
    pub pool: PgPool,
    pub connect: PgConnectOptions,
    /// The private cluster, where we run it.
    cluster: Option<Cluster>,
}

impl Database {
    /// For a node: starts the private cluster unless `database.url` is set.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn for_node(config: &Config) -> Result<Self, OpenError> {
        let sizes = sizes(config);
        match configured(config)? {
            Some(connect) => Self::open(connect, None, sizes.connections).await,
            None => {
                let cluster = Cluster::start(&config.data_dir, sizes, Holder::Server).await?;
                Self::open(cluster.connect_options(), Some(cluster), sizes.connections).await
            }
        }
    }

    /// For a command: joins a server's private cluster, or starts it for a moment where no server runs. Makes nothing where
    /// no server ever was.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn for_command(config: &Config) -> Result<Self, OpenError> {
        let Some(database) = Self::for_look(config).await? else {
            return Err(OpenError::NoServer(config.data_dir.display().to_string()));
        };
        let prepared = async {
            match super::schema::of(&database.pool).await?.version {
                0 => Err(OpenError::NoServer("the database of `database.url`".to_owned())),
                _ => database.migrate().await,
            }
        };
        match prepared.await {
            Ok(()) => Ok(database),
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    /// For a restore: a new private cluster, or the empty database of `database.url`. Its schema is not made yet.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn for_restore(config: &Config) -> Result<Self, OpenError> {
        const CONNECTIONS: u32 = 2;
        let database = match configured(config)? {
            Some(connect) => Self::connect(connect, None, CONNECTIONS).await?,
            None => {
                let folder = config.data_dir.join("postgres");
                if folder.exists() {
                    return Err(OpenError::ClusterExists(folder));
                }
                let cluster = Cluster::start(&config.data_dir, sizes(config), Holder::Command).await?;
                Self::connect(cluster.connect_options(), Some(cluster), CONNECTIONS).await?
            }
        };
        match super::backup::is_empty(&database.pool).await {
            Ok(true) => Ok(database),
            answer => {
                database.close().await;
                Err(answer.err().map_or(OpenError::NotEmpty, OpenError::Storage))
            }
        }
    }

    /// For a look: as it is, with a schema of any age. `None`: there is no private cluster yet.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn for_look(config: &Config) -> Result<Option<Self>, OpenError> {
        const CONNECTIONS: u32 = 2;
        if let Some(connect) = configured(config)? {
            return Self::connect(connect, None, CONNECTIONS).await.map(Some);
        }
        if !config.data_dir.join("postgres").exists() {
            return Ok(None);
        }
        if let Some(connect) = postgres::running(&config.data_dir).await? {
            return Self::connect(connect, None, CONNECTIONS).await.map(Some);
        }
        let cluster = Cluster::start(&config.data_dir, sizes(config), Holder::Command).await?;
        Self::connect(cluster.connect_options(), Some(cluster), CONNECTIONS).await.map(Some)
    }

    /// Brings the schema up to what this binary knows.
    ///
    /// # Errors
    /// The schema is newer than this binary may use, or a migration failed.
    pub async fn migrate(&self) -> Result<(), OpenError> {
        let schema = super::schema::of(&self.pool).await?;
        if schema.floor > super::schema::known() {
            return Err(OpenError::SchemaTooNew { version: schema.version, floor: schema.floor });
        }
        Ok(super::migrate(&self.pool).await?)
    }

    async fn open(connect: PgConnectOptions, cluster: Option<Cluster>, connections: u32) -> Result<Self, OpenError> {
        let database = Self::connect(connect, cluster, connections).await?;
        match database.migrate().await {
            Ok(()) => Ok(database),
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    async fn connect(connect: PgConnectOptions, cluster: Option<Cluster>, connections: u32) -> Result<Self, OpenError> {
        let connect = connect.application_name("roost");
        let pool = super::pool(connect.clone(), connections);
        let database = Self { pool, connect, cluster };
        let prepared = async {
            wait_for(&database.pool).await?;
            check(&database.pool).await
        };
        match prepared.await {
            Ok(()) => Ok(database),
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    /// Gives up all connections and makes new ones: the address may lead to another server now.
    pub async fn renew(&mut self) {
        let pool = super::pool(self.connect.clone(), self.pool.options().get_max_connections());
        let old = std::mem::replace(&mut self.pool, pool);
        // Its connections may hang; each is closed when nobody uses it any more.
        if tokio::time::timeout(Duration::from_millis(500), old.close()).await.is_err() {
            tracing::debug!("gave up connections with queries under way");
        }
    }

    /// Closes the pool, then stops the private cluster.
    pub async fn close(self) {
        // Whatever still holds a connection has had its time.
        if tokio::time::timeout(Duration::from_millis(500), self.pool.close()).await.is_err() {
            tracing::debug!("closed the database with queries under way");
        }
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
    }
}

fn sizes(config: &Config) -> Sizes {
    let connections = config.database.max_connections.unwrap_or_else(|| {
        let cores = available_parallelism().map_or(1, NonZero::get);
        u32::try_from(cores * 4).unwrap_or(u32::MAX).clamp(8, 64)
    });
    Sizes { connections, shared_buffers: config.database.shared_buffers }
}

fn configured(config: &Config) -> Result<Option<PgConnectOptions>, OpenError> {
    match &config.database.url {
        Some(url) => {
            let connect = url.expose().parse().map_err(OpenError::Address)?;
            // The driver's own error would not say which file it means.
            for (key, path) in postgres::tls_files(url.expose()) {
                if let Err(source) = std::fs::File::open(&path) {
                    return Err(OpenError::File { key: key.to_owned(), path, source });
                }
            }
            Ok(Some(connect))
        }
        None => Ok(None),
    }
}

/// What no migration could mend.
async fn check(pool: &PgPool) -> Result<(), OpenError> {
    let sql = "select current_setting('server_version_num')::int, current_setting('server_version'), \
               current_setting('server_encoding')";
    let asked: Result<(i32, String, String), _> = sqlx::query_as(sql).fetch_one(pool).await;
    let (number, version, encoding) = asked.map_err(super::Error::from)?;
    if number < OLDEST_VERSION {
        return Err(OpenError::TooOld(version));
    }
    if encoding != "UTF8" {
        return Err(OpenError::Encoding(encoding));
    }
    Ok(())
}

async fn wait_for(pool: &PgPool) -> Result<(), OpenError> {
    let asked = Instant::now();
    let mut told = false;
    loop {
        let error = match pool.acquire().await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if let Some(words) = tls_words(&error) {
            return Err(OpenError::Tls(words));
        }
        // A wrong password or name stays wrong.
        let passing = match &error {
            sqlx::Error::Database(e) => e.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("53")),
            _ => true,
        };
        if !passing || asked.elapsed() > PATIENCE {
            return Err(OpenError::Unreachable(error));
        }
        if !told {
            tracing::warn!(%error, "the database does not answer yet; waiting");
            told = true;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// What is wrong with TLS, where that is what failed: it would not mend itself.
fn tls_words(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Tls(error) => Some(error.to_string()),
        sqlx::Error::Io(error) => {
            error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).map(ToString::to_string)
        }
        _ => None,
    }
}
