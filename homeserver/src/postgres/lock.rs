//! The lock on a data folder: one process at a time owns the private cluster.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use super::{ClusterError, account::Owner};

/// How long a command's hold is waited out.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);

/// Who holds the lock, written into its file for others to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A server: holds it until it is stopped.
    Server,
    /// A command that started the cluster for itself: holds it for a moment.
    Command,
}

/// Held while it lives; the kernel lets go when the process dies, however it dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, waiting a while for a command to end.
    ///
    /// `Ok(None)`: a server holds it.
    pub async fn take(data: &Path, holder: Holder) -> Result<Option<Self>, ClusterError> {
        let path = data.join("roost.lock");
        let io = |what| ClusterError::io(what, &path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io("can't open"))?;
        Owner::of(data).take(&path).map_err(io("can't give away"))?;
        let started = std::time::Instant::now();
        let mut seen = 0;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(e)) => return Err(io("can't lock")(e)),
                Err(TryLockError::WouldBlock) => {}
            }
            let mut held_by = String::new();
            file.rewind().and_then(|()| file.read_to_string(&mut held_by)).map_err(io("can't read"))?;
            // Once may be what the last holder wrote: whoever holds it now is about to write.
            seen += u32::from(held_by == Holder::Server.word());
            if seen > 1 || started.elapsed() > COMMAND_PATIENCE {
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(io("can't write"))?;
        file.write_all(holder.word().as_bytes()).map_err(io("can't write"))?;
        Ok(Some(Self { _file: file }))
    }
}

impl Holder {
    fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Command => "command",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_server_is_kept_out() {
        let folder = std::env::temp_dir().join(format!("roost-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let first = Lock::take(&folder, Holder::Server).await.unwrap();
        assert!(first.is_some());
        assert!(Lock::take(&folder, Holder::Server).await.unwrap().is_none());
        drop(first);
        assert!(Lock::take(&folder, Holder::Server).await.unwrap().is_some());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
