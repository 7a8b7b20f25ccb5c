//! What one durable write costs on this disk: the floor under every acknowledged message.

use std::{
    fs::{File, remove_file},
    io::Write,
    path::Path,
    time::Instant,
};

use anyhow::{Context, Result};

const WRITES: usize = 200;

/// Median time of appending 8 KiB to a file in `dir` and flushing it, as PostgreSQL flushes its log.
pub fn median_ms(dir: &Path) -> Result<f64> {
    let path = dir.join(format!("mxbench-flush-{}", std::process::id()));
    let times = measure(&path);
    remove_file(&path).with_context(|| path.display().to_string())?;
    let mut times = times?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn measure(path: &Path) -> Result<Vec<f64>> {
    let mut file = File::create_new(path).with_context(|| path.display().to_string())?;
    // Space first, as a log's segments have it: an append would also flush the file's new size.
    file.write_all(&vec![0; 8192 * WRITES])?;
    file.sync_all()?;
    std::io::Seek::rewind(&mut file)?;
    (0..WRITES)
        .map(|_| {
            let at = Instant::now();
            file.write_all(&[7; 8192])?;
            file.sync_data()?;
            Ok(at.elapsed().as_secs_f64() * 1000.0)
        })
        .collect()
}
