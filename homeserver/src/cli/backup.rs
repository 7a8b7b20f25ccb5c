//! `roost backup` and `roost restore`

use std::path::Path;

use super::{
    arguments::Place,
    open::{block_on, load, with_database},
    output::{Failure, print},
};
use crate::backup::{self, Manifest};

/// Lost media that are named.
const SHOWN: usize = 20;

pub(super) fn write(place: &Place, file: &Path) -> Result<(), Failure> {
    let config = load(place)?;
    let written = with_database(place, async |database, _| {
        backup::write(&config, database, file).await.map_err(Failure::refused)
    })?;
    let text = format!(
        "Wrote {}: {} of database, {} files of media with {}.{}",
        file.display(),
        amount(written.database_bytes),
        written.media_files,
        amount(written.media_bytes),
        sealed(&written.manifest),
    );
    print(place.json, &written, text)?;
    if written.missing.is_empty() { Ok(()) } else { Err(Failure::Incomplete(lost(&written.missing))) }
}

/// What the backup lacks, and what to do about it.
fn lost(missing: &[String]) -> String {
    let mut list = missing[..missing.len().min(SHOWN)].join("\n  ");
    if missing.len() > SHOWN {
        list.push_str(&format!("\n  and {} more, which `roost media missing` lists", missing.len() - SHOWN));
    }
    format!(
        "THE BACKUP IS NOT WHOLE: the files of {} media are lost, and not in it:\n  {list}\nIs the media folder mounted? Bring the \
         files back from an earlier backup, or let the server forget each with `roost media forget ID`.",
        missing.len(),
    )
}

pub(super) fn restore(place: &Place, file: &Path) -> Result<(), Failure> {
    let config = load(place)?;
    let restoring = backup::restore(&config, place.config.is_some(), file);
    let manifest = block_on(async { restoring.await.map_err(Failure::refused) })?;
    let text = format!(
        "Restored the server `{}`. Start it; clients notice by themselves and upload new one-time keys.{}",
        manifest.server_name,
        sealed(&manifest),
    );
    print(place.json, &manifest, text)
}

fn sealed(manifest: &Manifest) -> &'static str {
    if manifest.sealed {
        "\nThe signing key is encrypted: keep the file of `secrets.key_file` too, apart from the backup."
    } else {
        ""
    }
}

fn amount(bytes: u64) -> String {
    match bytes {
        0..=0xf_ffff => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}
