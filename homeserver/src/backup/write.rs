//! `roost backup`

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use super::{BackupError, COMPLETE, DUMP, FORMAT, MANIFEST, MEDIA, Manifest, archive::Writer};
use crate::{
    clock::now_ms,
    config::Config,
    postgres::Tools,
    storage::{Database, Error, backup, schema, server},
};

/// What a backup holds.
#[derive(Debug, serde::Serialize)]
pub struct Written {
    pub manifest: Manifest,
    /// Bytes of the database's dump.
    pub database_bytes: u64,
    /// Files of media.
    pub media_files: usize,
    /// Bytes of those.
    pub media_bytes: u64,
    /// The IDs of media whose files are lost: they are not in it.
    pub missing: Vec<String>,
}

/// Writes everything into a new `file`, while the server runs or not.
///
/// # Errors
/// See [`BackupError`]; the file is not there then.
pub async fn write(config: &Config, database: &Database, file: &Path) -> Result<Written, BackupError> {
    if file.exists() {
        return Err(BackupError::FileExists(file.to_owned()));
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = Part(file.with_file_name(name));
    let written = fill(config, database, &part.0).await?;
    fs::rename(&part.0, file).map_err(BackupError::io("can't write", file))?;
    Ok(written)
}

/// An unfinished file goes when it is dropped; a finished one is gone from this name by then.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

async fn fill(config: &Config, database: &Database, path: &Path) -> Result<Written, BackupError> {
    let write = || BackupError::io("can't write", path);
    // Password hashes and the signing key are in it: only the caller reads it.
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(write())?;
    let mut archive = Writer::new(file);

    // All that follows sees the database as it is here.
    let mut conn = database.pool.acquire().await.map_err(Error::from)?;
    let snapshot = backup::begin_snapshot(&mut conn).await?;
    let schema = schema::of(&database.pool).await?;
    let manifest = Manifest {
        format: FORMAT,
        server_name: server::name(&database.pool, config.server_name.as_str(), now_ms()).await?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema: schema.version,
        schema_floor: schema.floor,
        postgresql: backup::server_version(&database.pool).await?,
        created_ts: now_ms(),
        sealed: backup::is_sealed(&mut conn).await?,
    };
    let listed = backup::media_files(&mut conn).await?;
    let json = serde_json::to_vec(&manifest).map_err(io::Error::from).map_err(write())?;
    archive.bytes(MANIFEST, &json).map_err(write())?;
    let url = config.database.url.as_ref().map(|url| url.expose());
    let tools = Tools::find(manifest.postgresql, &database.connect, url)?;
    let database_bytes = dump(&tools, &snapshot, &mut archive, path)?;
    // Only now may the snapshot go.
    drop(conn);

    let folder = config.media_path();
    let (mut media_bytes, mut seen) = (0, HashSet::new());
    for inside in files(&folder)? {
        let from = folder.join(&inside);
        let open = match File::open(&from) {
            // Removed since the folder was listed, as a medium that an administrator removes.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            open => open.map_err(BackupError::io("can't read", &from))?,
        };
        media_bytes += open.metadata().map_err(BackupError::io("can't read", &from))?.len();
        archive.file(&Path::new(MEDIA).join(&inside), &open).map_err(BackupError::io("can't copy", &from))?;
        seen.extend(inside.file_name().and_then(|name| name.to_str()).map(str::to_owned));
    }
    let missing: Vec<_> = listed.into_iter().filter(|(_, file)| !seen.contains(file)).map(|(id, _)| id).collect();
    archive.bytes(COMPLETE, b"").and_then(|()| archive.finish()).map_err(write())?;
    Ok(Written { manifest, database_bytes, media_files: seen.len(), media_bytes, missing })
}

fn dump(tools: &Tools, snapshot: &str, archive: &mut Writer, path: &Path) -> Result<u64, BackupError> {
    let run = || BackupError::io("can't run pg_dump for", path);
    let mut child = tools.dump(snapshot).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(run())?;
    let copied = match &mut child.stdout {
        Some(stdout) => archive.stream(DUMP, stdout),
        None => Ok(0),
    };
    if copied.is_err() {
        // It would wait for ever for somebody who reads.
        drop(child.kill());
    }
    let status = child.wait().map_err(run())?;
    let size = copied.map_err(BackupError::io("can't write", path))?;
    if status.success() { Ok(size) } else { Err(BackupError::Tool { program: "pg_dump", status }) }
}

/// Every file below `folder`, apart from uploads on their way.
fn files(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(inside) = folders.pop() {
        let path = folder.join(&inside);
        let read = || BackupError::io("can't read", &path);
        let entries = match fs::read_dir(&path) {
            // No server has run yet, or a folder went while it was empty.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(read())?,
        };
        for entry in entries {
            let entry = entry.map_err(read())?;
            let (kind, inside) = (entry.file_type().map_err(read())?, inside.join(entry.file_name()));
            if kind.is_file() {
                found.push(inside);
            } else if kind.is_dir() && inside != Path::new("incoming") {
                folders.push(inside);
            }
        }
    }
    found.sort();
    Ok(found)
}
