//! What the numbers were measured on.

use std::time::Duration;

use anyhow::{Context, Result};

/// How long the machine is watched to tell whether it has nothing else to do.
const WATCHED: Duration = Duration::from_secs(5);

/// The share of its time that the machine had nothing to do just now, from 0 to 1. The lab is up meanwhile.
pub(crate) async fn idle() -> Result<f64> {
    let before = ticks()?;
    tokio::time::sleep(WATCHED).await;
    let after = ticks()?;
    let all = after.all - before.all;
    Ok((after.idle - before.idle) / all.max(1.0))
}

struct Ticks {
    idle: f64,
    all: f64,
}

fn ticks() -> Result<Ticks> {
    let text = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
    // user nice system idle iowait irq softirq steal; guest time is part of user time.
    let fields: Vec<f64> = text
        .lines()
        .next()
        .context("/proc/stat is empty")?
        .split_whitespace()
        .skip(1)
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(Ticks {
        idle: fields.get(3..5).context("/proc/stat")?.iter().sum(),
        all: fields.iter().sum(),
    })
}

/// Processor, memory, system, in one line.
pub(crate) fn describe() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let cpu = field("/proc/cpuinfo", "model name")?;
    let memory: f64 = field("/proc/meminfo", "MemTotal")?
        .trim_end_matches(" kB")
        .parse()?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let system = std::fs::read_to_string("/etc/os-release")?;
    let system = system
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("unknown system");
    Ok(format!(
        "{cores} cores ({cpu}), {:.0} GiB, {}, Linux {}",
        memory / 1024.0 / 1024.0,
        system.trim_matches('"'),
        kernel.trim()
    ))
}

fn field(file: &str, name: &str) -> Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| file.to_owned())?;
    let found = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    });
    found.with_context(|| format!("{file} has no {name}"))
}
