//! How far the out-of-order chunks of `chunks_head` are in blocks.
//!
//! Such chunks stay in their files for a while after their samples went to blocks. At a start the out-of-order log names the
//! chunks that are still needed. If a part of that log is gone, a chunk that it does not name may be needed too, unless it
//! stands before this place: then it is in a block, where its samples may have been deleted since.
//!
//! ```text
//! file: magic 8 bytes | place u64 | crc32 u32 (of all before it)
//! ```

use std::io;
use std::path::Path;

use super::SAVEPOINT_DIR;
use crate::disk::{Disk, create_dir_durable, read_file, write_whole};
use crate::head_chunks::ChunkPlace;

/// Name of the file in the savepoint's directory.
pub(crate) const IN_BLOCKS_FILE: &str = "in_blocks";
const MAGIC: [u8; 8] = *b"ferulaib";
const FILE_BYTES: usize = MAGIC.len() + 8 + 4;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InBlocksError {
    #[error("{0}")]
    Disk(#[from] io::Error),
    #[error("the file is damaged")]
    Damaged,
}

/// Notes that all out-of-order chunks before `place` are in blocks. Afterwards this survives a power loss.
pub(crate) fn note(disk: &dyn Disk, data_dir: &Path, place: ChunkPlace) -> io::Result<()> {
    let dir = data_dir.join(SAVEPOINT_DIR);
    create_dir_durable(disk, &dir)?;
    write_whole(disk, &dir.join(IN_BLOCKS_FILE), &encode(place))
}

/// The place that was noted last; `None` if there is none.
pub(crate) fn noted(disk: &dyn Disk, data_dir: &Path) -> Result<Option<ChunkPlace>, InBlocksError> {
    let path = data_dir.join(SAVEPOINT_DIR).join(IN_BLOCKS_FILE);
    match read_file(disk, &path, FILE_BYTES as u64) {
        Ok(file) => decode(&file).map(Some).ok_or(InBlocksError::Damaged),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(InBlocksError::Damaged),
        Err(error) => Err(error.into()),
    }
}

fn encode(place: ChunkPlace) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&place.number().to_be_bytes());
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

fn decode(file: &[u8]) -> Option<ChunkPlace> {
    let (body, crc) = file.split_last_chunk::<4>()?;
    let place = body.strip_prefix(&MAGIC)?;
    let whole = crc32fast::hash(body) == u32::from_be_bytes(*crc);
    whole.then(|| Some(ChunkPlace::from_number(u64::from_be_bytes(place.try_into().ok()?)))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FaultDisk;

    #[test]
    fn what_was_noted_is_found_and_damage_is_not_believed() {
        let (disk, dir) = (FaultDisk::default(), Path::new("/data"));
        assert!(matches!(noted(&disk, dir), Ok(None)));
        for place in [ChunkPlace::new(1, 8), ChunkPlace::new(7, 70_000)] {
            note(&disk, dir, place).expect("written");
            assert_eq!(noted(&disk, dir).expect("readable"), Some(place));
        }
        let whole = encode(ChunkPlace::new(7, 70_000));
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert_eq!(decode(&bytes), None, "{at}");
            assert_eq!(decode(&whole[..at]), None, "{at}");
        }
        let path = dir.join(SAVEPOINT_DIR).join(IN_BLOCKS_FILE);
        disk.damage(&path, |bytes| bytes.push(0)).expect("there");
        assert!(matches!(noted(&disk, dir), Err(InBlocksError::Damaged)));
    }
}
