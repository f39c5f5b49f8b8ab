//! `cargo xtask torture`: the real binary under kills, damage, full and failing disks, short memory, hostile targets and
//! hostile clients. What it showed is kept here, outside of it, and compared with what it shows afterwards.
//!
//! Each part is a file and prints what it counted; a seed repeats a run. `--secs` is the time for each part.

mod clients;
mod damage;
mod disk;
mod harness;
mod kills;
mod memory;
mod orders;

use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::orders::Orders;

const PARTS: [(&str, fn(&Orders) -> Result<()>); 6] = [
    ("kills", kills::run),
    ("damage", damage::run),
    ("disk", disk::run),
    ("memory", memory::bodies),
    ("targets", memory::targets),
    ("clients", clients::run),
];

pub fn torture(args: &[&str]) -> Result<()> {
    let (mut secs, mut seed, mut part) = (30, 1, None);
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args.next().with_context(|| format!("{flag} needs a value"))?;
        match *flag {
            "--secs" => secs = value.parse().context("--secs")?,
            "--seed" => seed = value.parse().context("--seed")?,
            "--part" => part = Some(*value),
            other => bail!("torture knows --secs, --seed and --part, not {other}"),
        }
    }
    if let Some(part) = part.filter(|part| PARTS.iter().all(|(name, _)| name != part)) {
        bail!("no such part: {part}; there are {}", PARTS.map(|(name, _)| name).join(", "));
    }
    let program = crate::run::build_ferula(false)?;
    let orders = Orders { program, time: Duration::from_secs(secs), seed };
    for (name, run) in PARTS.iter().filter(|(name, _)| part.is_none_or(|part| part == *name)) {
        println!("== {name} (seed {seed}, {secs} s)");
        let kept = harness::run_directory();
        run(&orders).with_context(|| {
            format!("torture --part {name} --seed {seed}; its files are in {}", kept.display())
        })?;
        // A leftover in the directory for temporary files does no harm.
        let _ = std::fs::remove_dir_all(&kept);
    }
    Ok(())
}
