//! The folder with the contents: written in pieces as they come, given their name when they are
//! whole and on the disk, read in pieces.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

/// What the names of unfinished files begin with.
const UNFINISHED: &str = ".upload-";
/// Bytes of a piece that is read.
const PIECE: usize = 64 << 10;
/// How many pieces of an upload may wait for the disk.
const QUEUE: usize = 4;

/// The contents of all files.
#[derive(Clone, Debug)]
pub struct FileFolder {
    root: PathBuf,
}

/// Why a content is not stored, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFault {
    /// The content has not the length that was announced.
    #[error("{came} bytes came, and {announced} were announced")]
    Length {
        /// What was announced.
        announced: u64,
        /// What came.
        came: u64,
    },
    /// There is no room.
    #[error("the disk of this server is full; nothing was stored")]
    Full(io::Error),
    /// Anything else of the disk.
    #[error("a file cannot be used: {0}")]
    Disk(io::Error),
}

impl From<io::Error> for StoreFault {
    fn from(err: io::Error) -> Self {
        match err.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full(err),
            _ => Self::Disk(err),
        }
    }
}

/// A content on its way to the disk.
#[derive(Debug)]
pub struct Upload {
    pieces: mpsc::Sender<Bytes>,
    writing: actix_rt::task::JoinHandle<Result<(), StoreFault>>,
}

impl Upload {
    /// Hands a piece on; `false` when the content cannot be stored any more: [`Self::finish`] says
    /// why.
    pub async fn write(&self, piece: Bytes) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    /// Waits until the content is on the disk.
    ///
    /// # Errors
    /// [`StoreFault`]. Nothing is left of the content then.
    pub async fn finish(self) -> Result<(), StoreFault> {
        drop(self.pieces);
        let written = self.writing.await;
        written.map_err(|err| StoreFault::Disk(io::Error::other(err)))?
    }
}

impl FileFolder {
    /// The folder below a data folder. Removes what a process that was ended has left unfinished.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let root = data_dir.join("files");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)?;
        for entry in std::fs::read_dir(&root)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { root })
    }

    /// Ids are the server's own. They begin with the time and end at random: folders by the end
    /// are filled evenly.
    fn path(&self, id: &str) -> PathBuf {
        let end = id.get(id.len().saturating_sub(2)..).unwrap_or_default();
        self.root.join(end).join(id)
    }

    /// Begins to store a content of this length.
    #[must_use]
    pub fn store(&self, id: &str, size: u64) -> Upload {
        let (pieces, come) = mpsc::channel(QUEUE);
        let (root, path) = (self.root.clone(), self.path(id));
        let writing = actix_rt::task::spawn_blocking(move || write(&root, &path, size, come));
        Upload { pieces, writing }
    }

    /// Opens a content.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn open_file(&self, id: &str) -> io::Result<File> {
        let path = self.path(id);
        blocking(move || File::open(path)).await
    }

    /// Removes a content; one that is not there is no error.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn remove(&self, id: &str) -> io::Result<()> {
        let path = self.path(id);
        let removed = blocking(move || std::fs::remove_file(path)).await;
        match removed {
            Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = actix_rt::task::spawn_blocking(work).await;
    done.unwrap_or_else(|err| Err(io::Error::other(err)))
}

/// The next piece of an open content, and the file for the one after it; `None` at the end.
///
/// # Errors
/// Those of the system.
pub async fn next_piece(mut file: File) -> io::Result<Option<(Bytes, File)>> {
    blocking(move || {
        let mut piece = vec![0; PIECE];
        let length = file.read(&mut piece)?;
        piece.truncate(length);
        Ok((length > 0).then(|| (Bytes::from(piece), file)))
    })
    .await
}

fn write(
    root: &Path,
    path: &Path,
    size: u64,
    mut come: mpsc::Receiver<Bytes>,
) -> Result<(), StoreFault> {
    let mut file = NamedTempFile::with_prefix_in(UNFINISHED, root)?;
    let mut came = 0;
    while let Some(piece) = come.blocking_recv() {
        came += piece.len() as u64;
        if came > size {
            break;
        }
        file.write_all(&piece)?;
    }
    if came != size {
        let announced = size;
        return Err(StoreFault::Length { announced, came });
    }
    file.as_file().sync_all()?;
    let folder = path.parent().unwrap_or(root);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    file.persist(path).map_err(|err| err.error)?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn content(folder: &FileFolder, id: &str) -> Vec<u8> {
        let mut file = folder.open_file(id).await.unwrap();
        let mut content = Vec::new();
        while let Some((piece, next)) = next_piece(file).await.unwrap() {
            content.extend_from_slice(&piece);
            file = next;
        }
        content
    }

    async fn store(folder: &FileFolder, id: &str, size: u64, text: &str) -> Result<(), StoreFault> {
        let upload = folder.store(id, size);
        for piece in text.as_bytes().chunks(3) {
            upload.write(Bytes::copy_from_slice(piece)).await;
        }
        upload.finish().await
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[actix_rt::test]
    async fn a_content_is_there_when_it_is_whole() {
        let data = tempfile::tempdir().unwrap();
        let folder = FileFolder::open(data.path()).unwrap();
        store(&folder, "abcd", 10, "0123456789").await.unwrap();
        assert_eq!(content(&folder, "abcd").await, b"0123456789");
        for (size, text) in [(9, "0123456789"), (11, "0123456789")] {
            let fault = store(&folder, "xxcd", size, text).await.unwrap_err();
            assert!(matches!(fault, StoreFault::Length { .. }), "{fault}");
        }
        assert!(folder.open_file("xxcd").await.is_err());
        assert_eq!(names(&data.path().join("files/cd")), ["abcd"]);
        assert_eq!(names(&data.path().join("files")), ["cd"]);
        folder.remove("abcd").await.unwrap();
        folder.remove("abcd").await.unwrap();
        assert!(folder.open_file("abcd").await.is_err());
    }

    #[actix_rt::test]
    async fn what_was_left_unfinished_is_removed_at_the_start() {
        let data = tempfile::tempdir().unwrap();
        let folder = FileFolder::open(data.path()).unwrap();
        store(&folder, "abcd", 1, "x").await.unwrap();
        std::fs::write(data.path().join("files/.upload-1"), "half").unwrap();
        FileFolder::open(data.path()).unwrap();
        assert_eq!(names(&data.path().join("files")), ["cd"]);
    }

    #[test]
    fn a_full_disk_has_a_fault_of_its_own() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert!(matches!(
                StoreFault::from(io::Error::from(kind)),
                StoreFault::Full(_)
            ));
        }
        let other = StoreFault::from(io::Error::from(ErrorKind::PermissionDenied));
        assert!(matches!(other, StoreFault::Disk(_)));
    }
}
