//! Opens blocks that have appeared, closes those that have disappeared, and removes those that exceed the
//! retention.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Maintained;
use crate::block::{Block, BlockError, BlockMeta, Ulid, block_damage, block_dirs, remove_block};
use crate::damage::Damage;
use crate::db::Db;
use crate::disk::directory_bytes;
use crate::options::{WAL_DIR, WBL_DIR};
use crate::retention::{BlockUse, Reason, replaced};
use crate::savepoint::SAVEPOINT_DIR;

impl Db {
    /// Opens blocks that have appeared, closes those that have disappeared, and removes those that exceed the
    /// retention.
    pub(super) fn reload_blocks(&self, now_ms: i64, done: &mut Maintained) {
        self.maintenance.reloads.inc();
        let before = done.errors.len();
        if let Err(error) = self.try_reload(now_ms, done) {
            done.errors.push(format!("reloading blocks: {error}"));
        }
        if done.errors.len() > before {
            self.maintenance.reloads_failed.inc();
        }
    }

    fn try_reload(&self, now_ms: i64, done: &mut Maintained) -> Result<(), BlockError> {
        let known = self.views.get().blocks;
        let mut blocks: Vec<Arc<Block>> = Vec::new();
        for dir in block_dirs(&*self.disk, &self.dir)? {
            if let Some(block) = known.iter().find(|block| block.dir() == dir) {
                blocks.push(block.clone());
                continue;
            }
            match Block::open(&self.disk, &dir, self.options.access) {
                Ok(block) => {
                    done.opened += 1;
                    block.damages().iter().for_each(|damage| self.note_damage(damage, done));
                    blocks.push(Arc::new(block));
                }
                // Nothing is deleted on doubt: the block is left alone, and looked at again next time.
                Err(error) => {
                    self.note_damage(&block_damage(&dir, &error), done);
                    done.errors.push(format!("opening block: {error}"));
                }
            }
        }
        let gone = known.iter().filter(|block| blocks.iter().all(|kept| kept.dir() != block.dir()));
        done.vanished.extend(gone.map(|block| block.meta().ulid));
        let doomed = self.doomed(now_ms, &blocks);
        blocks.retain(|block| !doomed.iter().any(|(ulid, _)| *ulid == block.meta().ulid));
        self.views.publish(blocks, i64::MIN);
        // This counts the times at which a limit was exceeded, not blocks.
        let exceeded = |bound| doomed.iter().any(|(_, reason)| *reason == Some(bound));
        self.maintenance.time_retentions.add(u64::from(exceeded(Reason::Time)));
        self.maintenance.size_retentions.add(u64::from(exceeded(Reason::Size)));
        for (ulid, reason) in doomed {
            remove_block(&*self.disk, &self.dir.join(ulid.to_string()))?;
            done.removed.push((ulid, reason));
        }
        Ok(())
    }

    /// Counts and lists damage, and reports it if it is new.
    pub(super) fn note_damage(&self, damage: &Damage, done: &mut Maintained) {
        if self.damages.note(damage) {
            done.damages.push(damage.clone());
        }
    }

    /// Blocks that are replaced by others, or that retention lets go.
    fn doomed(&self, now_ms: i64, blocks: &[Arc<Block>]) -> Vec<(Ulid, Option<Reason>)> {
        let metas: Vec<Arc<BlockMeta>> = blocks.iter().map(|block| block.meta()).collect();
        let present: BTreeSet<Ulid> = metas.iter().map(|meta| meta.ulid).collect();
        let mut doomed: Vec<(Ulid, Option<Reason>)> = replaced(metas.iter().map(|meta| &**meta))
            .into_iter()
            .filter(|ulid| present.contains(ulid))
            .map(|ulid| (ulid, None))
            .collect();
        let uses: Vec<BlockUse<'_>> = blocks
            .iter()
            .zip(&metas)
            .filter(|(_, meta)| !doomed.iter().any(|(ulid, _)| *ulid == meta.ulid))
            .map(|(block, meta)| BlockUse { meta, bytes: block.bytes() })
            .collect();
        let retention = *self.retention.lock();
        let filesystem =
            (retention.percentage > 0.0).then(|| self.disk.total_bytes(&self.dir).ok()).flatten();
        if retention.percentage > 0.0 && filesystem.is_none_or(|bytes| bytes == 0) {
            ferula_telemetry::warn!(
                "Unable to retrieve filesystem size of database directory, skip percentage limitation and default to \
                 fixed size limitation",
                component = "tsdb",
                dir = self.dir.display()
            );
        }
        let savepoint = directory_bytes(&*self.disk, &self.dir.join(SAVEPOINT_DIR));
        let other = self.wal_bytes() + self.head.chunk_file_bytes() + savepoint;
        let old = retention.doomed(now_ms, &uses, other, filesystem);
        doomed.extend(old.into_iter().map(|(ulid, reason)| (ulid, Some(reason))));
        doomed
    }

    /// Total size of the logs and their checkpoints.
    pub fn wal_bytes(&self) -> u64 {
        [WAL_DIR, WBL_DIR].iter().map(|name| directory_bytes(&*self.disk, &self.dir.join(name))).sum()
    }
}
