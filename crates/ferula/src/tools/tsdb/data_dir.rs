//! Data directories and their blocks, as the commands open them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ferula_tsdb::disk::{Disk, RealDisk};
use ferula_tsdb::tools::{block_dirs, replaced};
use ferula_tsdb::{Access, Block, BlockMeta, Ulid};

use crate::tools::args::{Args, Argument, ValueKind, argument, go_io_error};

pub(super) const DATA_DIR: &str = "data/";
pub(super) const DB_PATH: Argument =
    argument("db path", ValueKind::Text, "The data directory; by default, data/.");

pub(super) fn data_dir(args: &Args) -> &Path {
    Path::new(args.argument(DB_PATH).unwrap_or(DATA_DIR))
}

pub(super) fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// Fails, in Go's words, if nothing exists at this path.
pub fn stat(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) => bail!("stat {}: {}", path.display(), go_io_error(&error)),
    }
}

/// Opens all blocks of a data directory, oldest first, except those already compacted into others.
pub fn open_blocks(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Vec<Block>> {
    stat(dir).context("opening the db dir")?;
    let mut metas: Vec<(PathBuf, BlockMeta)> = Vec::new();
    for block in block_dirs(&**disk, dir)? {
        match BlockMeta::read(&**disk, &block) {
            Ok(meta) => metas.push((block, meta)),
            Err(error) => eprintln!("block without a readable meta.json is left out: {error}"),
        }
    }
    let gone = replaced(metas.iter().map(|(_, meta)| meta));
    let mut blocks = Vec::new();
    for (dir, meta) in metas {
        if !gone.contains(&meta.ulid) {
            let block = Block::open(disk, &dir, Access::Mapped);
            blocks.push(block.with_context(|| format!("corrupted block {}", meta.ulid))?);
        }
    }
    blocks.sort_by_key(|block| block.meta().min_time);
    Ok(blocks)
}

/// Opens the block with this name, or the newest by name.
pub fn open_block(disk: &Arc<dyn Disk>, dir: &Path, name: Option<&str>) -> Result<Block> {
    stat(dir).context("opening the db dir")?;
    let path = match name {
        Some(name) if name.parse::<Ulid>().is_ok() && dir.join(name).is_dir() => dir.join(name),
        Some(name) => bail!("invalid block ID {name}"),
        None => block_dirs(&**disk, dir)?.pop().context("no blocks found")?,
    };
    Ok(Block::open(disk, &path, Access::Mapped)?)
}
