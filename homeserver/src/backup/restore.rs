//! `roost restore`

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Component, Path, PathBuf},
    process::Stdio,
};

use super::{BackupError, COMPLETE, DUMP, FORMAT, MANIFEST, MEDIA, Manifest};
use crate::{
    config::Config,
    postgres::{Owner, Tools},
    storage::{Database, backup, schema},
};

/// Makes a new server of what `file` holds: in a new data folder, or in an empty database and a new media folder.
///
/// `same_name`: the configuration names the server, and the backup must agree.
///
/// # Errors
/// See [`BackupError`].
pub async fn restore(config: &Config, same_name: bool, file: &Path) -> Result<Manifest, BackupError> {
    let read = || BackupError::io("can't read", file);
    let mut archive = tar::Archive::new(File::open(file).map_err(read())?);
    let mut entries = archive.entries().map_err(read())?;
    let manifest = match entries.next() {
        Some(Ok(entry)) if entry.path_bytes() == MANIFEST.as_bytes() => manifest(entry, file)?,
        _ => return Err(BackupError::NotABackup(file.to_owned())),
    };
    if same_name && manifest.server_name != config.server_name.as_str() {
        let configured = config.server_name.to_string();
        return Err(BackupError::OtherServer { stored: manifest.server_name, configured });
    }
    if manifest.schema_floor > schema::known() {
        return Err(BackupError::NewerSchema { schema: manifest.schema, version: manifest.version });
    }
    let media = config.media_path();
    if fs::read_dir(&media).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(BackupError::MediaNotEmpty(media));
    }

    let database = Database::for_restore(config).await?;
    let owner = Owner::of(&media).or(&config.data_dir);
    let done = async {
        let mut whole = false;
        for entry in entries {
            let cut_off = || BackupError::CutOff { file: file.to_owned(), undo: undo(config) };
            let mut entry = entry.map_err(|_| cut_off())?;
            let path = entry.path().map_err(read())?.into_owned();
            if path == Path::new(DUMP) {
                load(config, &database, &mut entry, file)?;
                // The backup may be older than this binary.
                database.migrate().await?;
                // At once: an unfinished restore that somebody starts all the same must not pass for the old server.
                backup::begin_generation(&database.pool).await?;
            } else if path == Path::new(COMPLETE) {
                whole = true;
            } else if let Some(inside) = inside_media(&path) {
                keep(&mut entry, &media.join(inside), owner)?;
            } else {
                return Err(BackupError::NotABackup(file.to_owned()));
            }
        }
        if !whole {
            return Err(BackupError::CutOff { file: file.to_owned(), undo: undo(config) });
        }
        Ok(())
    };
    let done = done.await;
    database.close().await;
    done.map(|()| manifest)
}

fn manifest(entry: impl Read, file: &Path) -> Result<Manifest, BackupError> {
    let value: serde_json::Value =
        serde_json::from_reader(entry).map_err(|_| BackupError::NotABackup(file.to_owned()))?;
    if value["format"].as_u64().is_some_and(|format| format > u64::from(FORMAT)) {
        return Err(BackupError::NewerForm(value["version"].as_str().unwrap_or("of a later version").to_owned()));
    }
    serde_json::from_value(value).map_err(|_| BackupError::NotABackup(file.to_owned()))
}

/// Hands the dump to `pg_restore`.
fn load(config: &Config, database: &Database, dump: &mut impl Read, file: &Path) -> Result<(), BackupError> {
    let run = || BackupError::io("can't run pg_restore for", file);
    let url = config.database.url.as_ref().map(|url| url.expose());
    // Any version that is new enough for the file will do, and pg_restore says so itself where it is not.
    let tools = Tools::find(15, &database.connect, url)?;
    let mut child = tools.restore().stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(run())?;
    let copied = child.stdin.take().map_or(Ok(0), |mut stdin| io::copy(dump, &mut stdin));
    let status = child.wait().map_err(run())?;
    // What it said is worth more than that it stopped reading.
    if !status.success() {
        return Err(BackupError::Tool { program: "pg_restore", status });
    }
    copied.map(|_| ()).map_err(BackupError::io("can't read", file))
}

/// A path below the media folder, if it stays there.
fn inside_media(path: &Path) -> Option<PathBuf> {
    let inside = path.strip_prefix(MEDIA).ok()?;
    let stays = inside.components().all(|part| matches!(part, Component::Normal(_)));
    (stays && inside.file_name().is_some()).then(|| inside.to_owned())
}

/// Closed to others, as a server makes it.
fn keep(entry: &mut impl Read, path: &Path, owner: Owner) -> Result<(), BackupError> {
    let mut written = || {
        path.parent().map_or(Ok(()), |parent| make_folders(parent, owner))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        owner.take(path)?;
        io::copy(entry, &mut file)?;
        file.sync_all()
    };
    written().map_err(BackupError::io("can't write", path))
}

fn make_folders(folder: &Path, owner: Owner) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), |parent| make_folders(parent, owner))?;
    DirBuilder::new().mode(0o700).create(folder)?;
    owner.take(folder)
}

/// How to try again.
fn undo(config: &Config) -> String {
    let media = config.media_path();
    match &config.database.url {
        Some(_) => format!("Make the database anew and remove {} before you try again.", media.display()),
        None => format!("Remove {} before you try again.", config.data_dir.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_writes_nowhere_but_into_the_folder() {
        assert_eq!(inside_media(Path::new("media/ab/cd/abcd")), Some("ab/cd/abcd".into()));
        for bad in ["media/../../etc/passwd", "/media/x", "media", "media/", "other/x", "media/a/../b"] {
            assert_eq!(inside_media(Path::new(bad)), None, "{bad}");
        }
    }
}
