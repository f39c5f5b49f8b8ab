//! Appends chunks and reads them back by position, whether they are on disk yet or not.
//!
//! Chunks collect in a buffer, which is written when it is large enough or when the caller requests it. After
//! a failed write, the buffer is kept: its chunks can still be read, and the next write tries again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{
    CHUNK_BYTES_MAX, ChunkFileError, ChunkPlace, FILE_BYTES_MAX, FILE_HEADER_BYTES, StoredChunk,
    check_file_header, file_header, file_path, put_chunk, read_chunk,
};
use crate::disk::{Disk, MappedFile, ReadFile, WriteFile, unfinished};
use crate::sync::{Mutex, rank};

/// The buffer is written at this size.
const BUFFER_BYTES: usize = 4 << 20;
/// Upper bound on the size of a chunk's header and checksum.
const CHUNK_OVERHEAD_BYTES: usize = 64;

/// The chunk files of a head.
pub struct Store {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    state: Mutex<State, rank::Chunks>,
}

struct State {
    /// Finished files, mapped when first read.
    sealed: BTreeMap<u32, Sealed>,
    current: Option<Current>,
    next: u32,
    /// Number of chunks added since the start.
    taken: u64,
    /// Timestamp of the oldest out-of-order sample by file, including those already in blocks.
    out_of_order: BTreeMap<u32, i64>,
}

struct Sealed {
    bytes: u64,
    mapped: Option<Arc<dyn MappedFile>>,
}

struct Current {
    file: u32,
    /// `None` until the first write.
    open: Option<(Box<dyn WriteFile>, Arc<dyn ReadFile>)>,
    /// How much of the file has been written.
    written: u64,
    torn: bool,
    /// A sync failed: what was written may never reach the disk, so the file must be rewritten.
    distrusted: bool,
    /// What follows it.
    buffer: Vec<u8>,
}

impl Current {
    fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn flush(&mut self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.open.is_none() {
            disk.create_dir_all(dir)?;
            let path = file_path(dir, self.file);
            self.open = Some((disk.create(&path)?, disk.open(&path)?));
        }
        let Some((writer, _)) = &mut self.open else { return Ok(()) };
        if self.torn {
            writer.set_len(self.written)?;
        }
        self.torn = true;
        writer.write_all(&self.buffer)?;
        self.torn = false;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Current {
    /// Makes what was written survive a power loss. After a failure all of it is written to another file, which gets the name.
    fn sync(&mut self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let Some((writer, reader)) = &mut self.open else { return Ok(()) };
        if !self.distrusted {
            let synced = writer.sync_data();
            self.distrusted = synced.is_err();
            return synced;
        }
        let path = file_path(dir, self.file);
        let copy = unfinished(&path);
        let (mut out, mut at) = (disk.create(&copy)?, 0);
        let mut piece = vec![0; BUFFER_BYTES];
        while at < self.written {
            let wanted = piece.len().min((self.written - at) as usize);
            let read = reader.read_at(&mut piece[..wanted], at)?;
            if read == 0 {
                return Err(io::Error::other("chunks that were written are not in their file any more"));
            }
            out.write_all(&piece[..read])?;
            at += read as u64;
        }
        out.sync_data()?;
        disk.rename(&copy, &path)?;
        disk.sync_dir(dir)?;
        self.open = Some((out, disk.open(&path)?));
        self.distrusted = false;
        Ok(())
    }
}

impl Store {
    /// Creates a store whose new files follow `files`, the numbers and sizes of the loaded ones.
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf, files: &[(u32, u64)]) -> Self {
        let sealed: BTreeMap<u32, Sealed> =
            files.iter().map(|(file, bytes)| (*file, Sealed { bytes: *bytes, mapped: None })).collect();
        let next = sealed.keys().next_back().map_or(1, |last| last + 1);
        Store {
            disk,
            dir,
            state: Mutex::new(State { sealed, current: None, next, taken: 0, out_of_order: BTreeMap::new() }),
        }
    }

    /// Adds a chunk, which can be read at once.
    pub fn write(&self, chunk: &StoredChunk<'_>) -> ChunkPlace {
        let mut state = self.state.lock();
        state.taken += 1;
        let full = state.current.as_ref().is_some_and(|current| {
            current.end() + (chunk.data.len() + CHUNK_OVERHEAD_BYTES) as u64 > FILE_BYTES_MAX
        });
        if full {
            // If the disk is full, the file keeps growing in memory until the log stops ingestion.
            let _ = self.seal(&mut state);
        }
        let next = state.next;
        let current = state.current.get_or_insert_with(|| Current {
            file: next,
            open: None,
            written: 0,
            torn: false,
            distrusted: false,
            buffer: file_header().to_vec(),
        });
        let place = ChunkPlace::new(current.file, current.end() as u32);
        put_chunk(&mut current.buffer, chunk);
        if chunk.out_of_order {
            let oldest = state.out_of_order.entry(place.file()).or_insert(chunk.min);
            *oldest = (*oldest).min(chunk.min);
        }
        let Some(current) = &mut state.current else { return place };
        if current.buffer.len() >= BUFFER_BYTES {
            // If the disk is full, the chunks stay in the buffer; the next chunk tries again.
            let _ = current.flush(&*self.disk, &self.dir);
        }
        place
    }

    fn seal(&self, state: &mut State) -> io::Result<()> {
        let Some(current) = &mut state.current else { return Ok(()) };
        current.flush(&*self.disk, &self.dir)?;
        current.sync(&*self.disk, &self.dir)?;
        let (file, bytes) = (current.file, current.written);
        state.sealed.insert(file, Sealed { bytes, mapped: None });
        state.current = None;
        state.next = file + 1;
        Ok(())
    }

    /// Records an out-of-order chunk that was found at the start.
    pub fn note_out_of_order(&self, place: ChunkPlace, min: i64) {
        let mut state = self.state.lock();
        let oldest = state.out_of_order.entry(place.file()).or_insert(min);
        *oldest = (*oldest).min(min);
    }

    /// Timestamp of the oldest out-of-order sample in any file: a start would restore it.
    pub fn oldest_out_of_order(&self) -> Option<i64> {
        self.state.lock().out_of_order.values().copied().min()
    }

    /// Number of chunks added since the start.
    pub fn taken(&self) -> u64 {
        self.state.lock().taken
    }

    /// Writes the buffer.
    pub fn flush(&self) -> io::Result<()> {
        match &mut self.state.lock().current {
            Some(current) => current.flush(&*self.disk, &self.dir),
            None => Ok(()),
        }
    }

    /// Writes the buffer and makes all chunks survive a power loss. Nothing waits for the slow part.
    pub fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let mut current = None;
        if let Some(open) = &mut state.current {
            open.flush(&*self.disk, &self.dir)?;
            if open.distrusted {
                open.sync(&*self.disk, &self.dir)?;
            }
            current = Some((open.file, file_path(&self.dir, open.file)));
        }
        let any = current.is_some() || !state.sealed.is_empty();
        drop(state);
        if let Some((number, path)) = current {
            match self.disk.append(&path) {
                Ok(mut file) => file.sync_data().inspect_err(|_| {
                    let mut state = self.state.lock();
                    if let Some(open) = state.current.as_mut().filter(|open| open.file == number) {
                        open.distrusted = true;
                    }
                })?,
                // It was finished, which syncs it, and removed in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if !any {
            return Ok(());
        }
        self.disk.sync_dir(&self.dir)?;
        self.dir.parent().map_or(Ok(()), |parent| self.disk.sync_dir(parent))
    }

    /// Ends the current file, so that it can be removed when its chunks are old.
    pub fn cut(&self) -> io::Result<()> {
        self.seal(&mut self.state.lock())
    }

    /// Passes the chunk at `place` to `read`.
    ///
    /// # Errors
    /// `InvalidData` if the file does not contain it.
    pub fn read<T>(&self, place: ChunkPlace, read: impl FnOnce(&StoredChunk<'_>) -> T) -> io::Result<T> {
        let offset = place.offset() as usize;
        let mut state = self.state.lock();
        if let Some(current) = state.current.as_ref().filter(|current| current.file == place.file()) {
            if offset as u64 >= current.written {
                let (chunk, _) = read_chunk(&current.buffer, offset - current.written as usize)
                    .map_err(|error| invalid(place, &error))?;
                return Ok(read(&chunk));
            }
            let left = current.written - offset as u64;
            let reader = current.open.as_ref().map(|(_, reader)| reader.clone());
            drop(state);
            let reader = reader.ok_or_else(|| io::Error::other("no chunk file is open"))?;
            return read_unmapped(&*reader, place, left, read);
        }
        let sealed = state.sealed.get_mut(&place.file()).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("chunks_head file {:06} no longer exists", place.file()),
            )
        })?;
        let mapped = match &sealed.mapped {
            Some(mapped) => mapped.clone(),
            None => {
                let mapped = self.disk.map(&file_path(&self.dir, place.file()))?;
                check_file_header(&mapped).map_err(|error| invalid(place, &error))?;
                sealed.mapped = Some(mapped.clone());
                mapped
            }
        };
        drop(state);
        let (chunk, _) = read_chunk(&mapped, offset).map_err(|error| invalid(place, &error))?;
        Ok(read(&chunk))
    }

    /// Removes finished files with numbers below `file`.
    pub fn remove_before(&self, file: u32) -> io::Result<usize> {
        let mut state = self.state.lock();
        let old: Vec<u32> = state.sealed.range(..file).map(|(number, _)| *number).collect();
        for number in &old {
            match self.disk.remove_file(&file_path(&self.dir, *number)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            state.sealed.remove(number);
            state.out_of_order.remove(number);
        }
        // Else a power loss brings them back after the log has forgotten what was deleted of them.
        if !old.is_empty() {
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(old.len())
    }

    /// Makes sure that no chunk is written to a file up to this number. The numbers must not have gaps, so
    /// files in between are created without chunks.
    pub fn reserve(&self, file: u32) -> io::Result<()> {
        let mut state = self.state.lock();
        while state.current.is_none() && state.next <= file {
            self.disk.create_dir_all(&self.dir)?;
            self.disk.create(&file_path(&self.dir, state.next))?.write_all(&file_header())?;
            let next = state.next;
            state.sealed.insert(next, Sealed { bytes: FILE_HEADER_BYTES as u64, mapped: None });
            state.next += 1;
        }
        Ok(())
    }

    /// The place of the next chunk.
    pub fn end(&self) -> ChunkPlace {
        let state = self.state.lock();
        match &state.current {
            Some(current) => ChunkPlace::new(current.file, current.end() as u32),
            None => ChunkPlace::new(state.next, 0),
        }
    }

    /// Drops all chunks in files from this number on. Nothing refers to them any more, and their numbers are not used again.
    pub fn discard_from(&self, file: u32) {
        let mut state = self.state.lock();
        let written = state.current.take().map(|current| (current.file, current.open.is_some()));
        let sealed: Vec<u32> = state.sealed.split_off(&file).into_keys().collect();
        state.out_of_order.split_off(&file);
        for number in sealed.into_iter().chain(written.filter(|(_, open)| *open).map(|(number, _)| number)) {
            // If it stays, the next start reports chunks that overlap, and reads the log without them.
            let _ = self.disk.remove_file(&file_path(&self.dir, number));
            state.next = state.next.max(number + 1);
        }
    }

    /// Makes sure that new chunks get places behind `end`, also if the files before it are gone.
    pub fn continue_behind(&self, end: ChunkPlace) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.sealed.is_empty() && state.current.is_none() {
            state.next = state.next.max(end.file().saturating_add(1));
            return Ok(());
        }
        drop(state);
        self.reserve(end.file())
    }

    /// Number of the file for the next chunk.
    pub fn current_file(&self) -> u32 {
        let state = self.state.lock();
        state.current.as_ref().map_or(state.next, |current| current.file)
    }

    /// Total size on disk and in the buffer.
    pub fn bytes(&self) -> u64 {
        let state = self.state.lock();
        state.sealed.values().map(|sealed| sealed.bytes).sum::<u64>()
            + state.current.as_ref().map_or(0, Current::end)
    }
}

fn invalid(place: ChunkPlace, error: &ChunkFileError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("chunks_head file {:06}: {error}", place.file()))
}

/// Estimated size of a chunk including its framing; a longer one is read again.
const GUESS_BYTES: u64 = 1024;

fn read_unmapped<T>(
    file: &dyn ReadFile,
    place: ChunkPlace,
    left: u64,
    read: impl FnOnce(&StoredChunk<'_>) -> T,
) -> io::Result<T> {
    let mut bytes = vec![0; left.min(GUESS_BYTES) as usize];
    let filled = file.read_at(&mut bytes, u64::from(place.offset()))?;
    bytes.truncate(filled);
    if matches!(read_chunk(&bytes, 0), Err(ChunkFileError::Short(_))) && left > GUESS_BYTES {
        bytes = vec![0; left.min((CHUNK_BYTES_MAX + CHUNK_OVERHEAD_BYTES) as u64) as usize];
        let filled = file.read_at(&mut bytes, u64::from(place.offset()))?;
        bytes.truncate(filled);
    }
    let (chunk, _) = read_chunk(&bytes, 0).map_err(|error| invalid(place, &error))?;
    Ok(read(&chunk))
}

const _: () = assert!(FILE_HEADER_BYTES < BUFFER_BYTES && FILE_BYTES_MAX <= u32::MAX as u64);
