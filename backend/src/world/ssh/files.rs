//! Files, boot id and clock of a host.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coxswain_wire::HostId;

use super::super::{ClockReading, RemoteCommand, Result, Script, WorldError};
use super::Ssh;

const READ_FILE: Script = Script {
    name: "read_file",
    text: include_str!("scripts/read_file.sh"),
};
const WRITE_FILE: Script = Script {
    name: "write_file",
    text: include_str!("scripts/write_file.sh"),
};
/// Status of [`READ_FILE`] when there is no such file.
const NO_SUCH_FILE: i32 = 44;
/// What `head` or `sudo` have to say must fit in too, however small the file may be.
const ROOM_FOR_WORDS: usize = 4096;
/// Looks at a clock; the one with the shortest round trip counts.
const CLOCK_LOOKS: usize = 3;

impl Ssh {
    pub(in super::super) async fn read_file(
        &self,
        host: HostId,
        path: &str,
        max: usize,
    ) -> Result<Option<Vec<u8>>> {
        absolute(path)?;
        let command = RemoteCommand::script(READ_FILE)
            .arg(path)
            .arg(max.saturating_add(1).to_string())
            .sudo()
            .max_output(max.saturating_add(ROOM_FOR_WORDS));
        let output = self.run(host, command).await?;
        if output.status == NO_SUCH_FILE {
            return Ok(None);
        }
        let output = output.ok(READ_FILE.name)?;
        if output.stdout.len() > max {
            return Err(WorldError::TooLarge {
                what: path.to_owned(),
                max,
            });
        }
        Ok(Some(output.stdout))
    }

    pub(in super::super) async fn write_file(
        &self,
        host: HostId,
        path: &str,
        content: &[u8],
        mode: u32,
    ) -> Result<()> {
        absolute(path)?;
        let command = RemoteCommand::script(WRITE_FILE)
            .arg(path)
            .arg(format!("{:04o}", mode & 0o7777))
            .arg(content.len().to_string())
            .stdin(content)
            .sudo();
        self.run(host, command).await?.ok(WRITE_FILE.name)?;
        Ok(())
    }

    pub(in super::super) async fn boot_id(&self, host: HostId) -> Result<String> {
        let command = RemoteCommand::program("cat").arg("/proc/sys/kernel/random/boot_id");
        Ok(self
            .run(host, command)
            .await?
            .ok("boot_id")?
            .text()
            .trim()
            .to_owned())
    }

    pub(in super::super) async fn clock(&self, host: HostId) -> Result<ClockReading> {
        let mut best: Option<ClockReading> = None;
        for _ in 0..CLOCK_LOOKS {
            let (before, start) = (SystemTime::now(), Instant::now());
            let output = self
                .run(host, RemoteCommand::program("date").arg("+%s%N"))
                .await?
                .ok("date")?;
            let round_trip = start.elapsed();
            let text = output.text();
            let nanos: i128 = text.trim().parse().map_err(|_| WorldError::Unexpected {
                what: "date +%s%N".to_owned(),
                detail: format!("{:?} is no time", text.trim()),
            })?;
            if best.is_none_or(|known| round_trip < known.round_trip) {
                best = Some(reading(before, round_trip, nanos));
            }
        }
        best.ok_or_else(|| WorldError::Unexpected {
            what: "date".to_owned(),
            detail: "never asked".to_owned(),
        })
    }
}

fn reading(before: SystemTime, round_trip: Duration, host_nanos: i128) -> ClockReading {
    let middle = before.duration_since(UNIX_EPOCH).unwrap_or_default() + round_trip / 2;
    let offset = host_nanos - i128::try_from(middle.as_nanos()).unwrap_or(i128::MAX);
    ClockReading {
        offset_ms: i64::try_from(offset / 1_000_000).unwrap_or(i64::MAX),
        round_trip,
    }
}

pub(super) fn absolute(path: &str) -> Result<()> {
    if path.starts_with('/') {
        return Ok(());
    }
    Err(WorldError::InvalidInput {
        what: "path".to_owned(),
        detail: format!("{path:?} is not absolute"),
    })
}
