//! A tar archive that is written in one pass, also of what nobody knows the size of beforehand.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use tar::{Builder, Header};

const BLOCK: u64 = 512;

/// An archive on its way.
pub(super) struct Writer(Builder<File>);

impl Writer {
    pub fn new(file: File) -> Self {
        Self(Builder::new(file))
    }

    /// Adds a small file.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = header(bytes.len() as u64);
        self.0.append_data(&mut header, name, bytes)
    }

    /// Adds a file as it is at this moment.
    pub fn file(&mut self, name: &Path, file: &File) -> io::Result<()> {
        let size = file.metadata()?.len();
        let mut header = header(size);
        // A file that shrinks meanwhile would shift everything behind it.
        let mut exact = Exact { file, left: size };
        self.0.append_data(&mut header, name, &mut exact)
    }

    /// Adds all that `source` has to say; its size goes into the head afterwards.
    pub fn stream(&mut self, name: &str, source: &mut impl Read) -> io::Result<u64> {
        let file = self.0.get_mut();
        let head = file.stream_position()?;
        file.write_all(&[0; BLOCK as usize])?;
        let size = io::copy(source, file)?;
        let padding = size.next_multiple_of(BLOCK) - size;
        file.write_all(&vec![0; usize::try_from(padding).unwrap_or_default()])?;
        let end = file.stream_position()?;
        file.seek(SeekFrom::Start(head))?;
        let mut header = header(size);
        header.set_path(name)?;
        header.set_cksum();
        file.write_all(header.as_bytes())?;
        file.seek(SeekFrom::Start(end))?;
        Ok(size)
    }

    /// Ends the archive, on disk.
    pub fn finish(self) -> io::Result<()> {
        self.0.into_inner()?.sync_all()
    }
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header.set_cksum();
    header
}

/// So many bytes, or an error.
struct Exact<'f> {
    file: &'f File,
    left: u64,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.file.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was copied"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let path = std::env::temp_dir().join(format!("roost-archive-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        let mut writer = Writer::new(file);
        writer.bytes("first", b"1").unwrap();
        for size in [0, 511, 512, 70_000] {
            assert_eq!(writer.stream("streamed", &mut io::repeat(7).take(size)).unwrap(), size);
        }
        writer.file(Path::new("folder/a file"), &File::open("/proc/self/exe").unwrap()).unwrap();
        writer.finish().unwrap();
        let mut archive = tar::Archive::new(File::open(&path).unwrap());
        let sizes: Vec<_> = archive.entries().unwrap().map(|entry| entry.unwrap().size()).collect();
        assert_eq!(sizes[..5], [1, 0, 511, 512, 70_000]);
        assert_eq!(sizes.len(), 6);
        std::fs::remove_file(path).unwrap();
    }
}
