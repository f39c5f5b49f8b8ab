//! Block indexes: any bytes are opened, selected from and read without a panic.
//!
//! Checksums are corrected first; otherwise almost nothing would get past them.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use ferula_model::Matcher;
use ferula_tsdb::Access;
use ferula_tsdb::disk::{Disk, FaultDisk, read_file};
use ferula_tsdb::formats::block::select;
use ferula_tsdb::formats::block::{ChunkMeta, IndexReader, IndexWriter, SeriesEntry, SymbolTable};

const PATH: &str = "/index";

fn main() {
    let seed = seed();
    ferula_fuzz::drive("block_index", &[&seed], |input| {
        let mut bytes = input.to_vec();
        fix_tables(&mut bytes);
        if let Ok(index) = open(&bytes) {
            fix_lists(&index, &mut bytes);
        }
        if let Ok(index) = open(&bytes) {
            read_all(&index);
        }
    });
}

fn open(bytes: &[u8]) -> Result<IndexReader, ferula_tsdb::BlockError> {
    let disk = FaultDisk::default();
    disk.create_dir_all(Path::new("/")).expect("a disk without faults");
    disk.create(Path::new(PATH)).and_then(|mut file| file.write_all(bytes)).expect("a disk without faults");
    IndexReader::open(&disk, Path::new(PATH), Access::Mapped)
}

fn read_all(index: &IndexReader) {
    let _ = index.each_symbol(|_, _| {});
    let names: Vec<_> = index.label_names().take(20).map(str::to_owned).collect();
    for name in &names {
        for value in index.label_values(name).unwrap_or_default().iter().take(20) {
            let _ = select(index, &[Matcher::equal(name, value)], &Matcher::matches);
        }
    }
    let mut entry = SeriesEntry::default();
    for number in index.all_postings().unwrap_or_default().into_iter().take(50) {
        if index.series(number, &mut entry).is_ok() {
            let _ = index.labels(&entry);
        }
    }
}

/// Corrects the checksum after the section whose length is at `offset`.
fn fix_section(bytes: &mut [u8], offset: u64) {
    let Ok(at) = usize::try_from(offset) else { return };
    let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|b| u32::from_be_bytes(*b))
    else {
        return;
    };
    fix_crc(bytes, at + 4, length as usize);
}

fn fix_crc(bytes: &mut [u8], from: usize, len: usize) {
    let Some(rest) = bytes.get_mut(from..) else { return };
    let Some((content, crc)) = rest.split_at_mut_checked(len) else { return };
    if let Some(crc) = crc.first_chunk_mut() {
        *crc = crc32c::crc32c(content).to_be_bytes();
    }
}

fn fix_tables(bytes: &mut [u8]) {
    let Some(toc) = bytes.len().checked_sub(52) else { return };
    fix_crc(bytes, toc, 48);
    for field in [0, 5] {
        let at = toc + 8 * field;
        let offset = u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if offset < toc as u64 {
            fix_section(bytes, offset);
        }
    }
}

fn fix_lists(index: &IndexReader, bytes: &mut [u8]) {
    let names: Vec<_> =
        std::iter::once(String::new()).chain(index.label_names().take(20).map(str::to_owned)).collect();
    for name in names {
        let _ = index.each_value(&name, |_, offset| {
            fix_section(bytes, offset);
            Ok(ControlFlow::Continue(()))
        });
    }
    let series = open(bytes).and_then(|index| index.all_postings()).unwrap_or_default();
    for number in series.into_iter().take(50) {
        let at = if index.version() == 1 { number as usize } else { number as usize * 16 };
        let length = bytes.get(at).copied().unwrap_or(0);
        if length < 0x80 {
            fix_crc(bytes, at + 1, usize::from(length));
        }
    }
}

fn seed() -> Vec<u8> {
    let disk: Arc<dyn Disk> = Arc::new(FaultDisk::default());
    disk.create_dir_all(Path::new("/")).expect("a disk without faults");
    let symbols =
        SymbolTable::from_sorted(["__name__", "a", "b", "c", "job", "up"]).expect("they are sorted");
    let mut writer = IndexWriter::create(&disk, Path::new(PATH), symbols).expect("a disk without faults");
    let chunk = |reference| ChunkMeta { min_time: -5, max_time: 10, reference };
    for (value, reference) in [(1, 8), (2, 60), (3, 1 << 32 | 8)] {
        writer.add_series(&[(0, 5), (4, value)], &[chunk(reference)]).expect("in order");
    }
    writer.finish().expect("a disk without faults");
    read_file(&*disk, Path::new(PATH), 1 << 20).expect("just written")
}
