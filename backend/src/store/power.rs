//! Table `host_power`: how another host switches a host's power.

use std::collections::BTreeMap;

use coxswain_wire::{HostId, PowerControl};
use sqlx::{Row, SqliteConnection};

use super::{ChangeError, DbError, Tx};

/// All power controls by host.
pub(super) async fn all(tx: &mut SqliteConnection) -> Result<BTreeMap<i64, PowerControl>, DbError> {
    let rows = sqlx::query(r#"SELECT host, via, "on", "off", status FROM host_power"#)
        .fetch_all(tx)
        .await?;
    let mut found = BTreeMap::new();
    for row in rows {
        let words = |column: &str| -> Result<Vec<String>, DbError> {
            let json: String = row.try_get(column)?;
            serde_json::from_str(&json).map_err(|e| DbError::corrupt("host_power", e))
        };
        let control = PowerControl {
            via: HostId(row.try_get("via")?),
            on: words("on")?,
            off: words("off")?,
            status: words("status")?,
        };
        found.insert(row.try_get("host")?, control);
    }
    Ok(found)
}

/// Sets or takes away a host's power control.
pub(super) async fn set(
    tx: &mut Tx,
    host: HostId,
    control: Option<&PowerControl>,
) -> Result<(), ChangeError> {
    sqlx::query("DELETE FROM host_power WHERE host = ?")
        .bind(host.0)
        .execute(&mut **tx)
        .await?;
    let Some(PowerControl {
        via,
        on,
        off,
        status,
    }) = control
    else {
        return Ok(());
    };
    if *via == host {
        return Err(ChangeError::field(
            "power.via",
            "A host that is off cannot switch itself on: choose another one.",
        ));
    }
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM host WHERE id = ?)")
        .bind(via.0)
        .fetch_one(&mut **tx)
        .await?;
    if !known {
        let message = format!("There is no host {via}.");
        return Err(ChangeError::field("power.via", message));
    }
    let json = |words: &[String]| {
        serde_json::to_string(words).map_err(|e| DbError::corrupt("host_power", e))
    };
    sqlx::query(
        r#"INSERT INTO host_power (host, via, "on", "off", status) VALUES (?, ?, ?, ?, ?)"#,
    )
    .bind(host.0)
    .bind(via.0)
    .bind(json(on)?)
    .bind(json(off)?)
    .bind(json(status)?)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Refuses to delete a host that switches others' power.
pub(super) async fn not_needed(tx: &mut Tx, host: HostId, name: &str) -> Result<(), ChangeError> {
    let other: Option<String> = sqlx::query_scalar(
        "SELECT h.name FROM host_power p JOIN host h ON h.id = p.host WHERE p.via = ? ORDER BY h.name LIMIT 1",
    )
    .bind(host.0)
    .fetch_optional(&mut **tx)
    .await?;
    match other {
        None => Ok(()),
        Some(other) => Err(ChangeError::Conflict(format!(
            "{name} switches the power of {other}; change the power control of {other} first."
        ))),
    }
}
