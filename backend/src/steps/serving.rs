//! The certificate of :6443 as steps handle it: who serves which one, what makes k3s issue it anew
//! (facts A, TLS SANs), and starting k3s without the copy it keeps.

use std::collections::BTreeSet;
use std::time::Duration;

use coxswain_engine::step::{StepContext, StepFailure};
use coxswain_k3s::certs::{AltName, Certificate};
use coxswain_k3s::names::San;
use coxswain_k3s::serving::{CACHE_FILE, NAMESPACE, SECRET, annotated_names};

use super::kube::{API_PORT, ApiHost, of_first};
use super::restart::{Target, mark};
use crate::world::{Ask, JobSpec, Script, ServedLeaf, TlsTarget, World};

/// The Secret's key of the certificate.
const CERTIFICATE: &str = "tls.crt";
/// Time the job may take: stopping, and asking systemd to start.
const RUNTIME: Duration = Duration::from_secs(150);

/// `$1` the unit, `$2` the file for the journal's cursor, `$3` the file to forget.
pub(crate) const RENEW: Script = Script {
    name: "renew-serving",
    text: r#"unit=$1 mark=$2 file=$3
systemctl daemon-reload || exit 1
echo "coxswain: stopping $unit"
systemctl stop "$unit" || exit 1
echo "coxswain: removing $file"
rm -f -- "$file" || exit 1
(umask 077 && mkdir -p "${mark%/*}") || exit 1
journalctl --sync >/dev/null 2>&1
(umask 077 && journalctl -q --no-pager -o cat -n 1 --show-cursor | sed -n 's/^-- cursor: //p' >"$mark")
systemctl reset-failed "$unit" 2>/dev/null
echo "coxswain: starting $unit"
systemctl start --no-block "$unit"
"#,
};

/// The job that starts k3s without its copy of the certificate.
pub(crate) fn renew(context: &StepContext, target: &Target) -> JobSpec {
    JobSpec::new(RENEW, RUNTIME)
        .arg(target.role.unit())
        .arg(mark(context))
        .arg(CACHE_FILE)
}

/// What one way to the API serves to somebody who asks for no name: a look that teaches nothing.
pub(crate) struct Served {
    /// Who serves it.
    pub(crate) by: String,
    /// Serial number.
    pub(crate) serial: String,
    /// Its names.
    pub(crate) names: BTreeSet<AltName>,
}

/// Asks for no name. `Err`: nothing is served, in words.
pub(crate) async fn served(world: &dyn World, way: &ApiHost) -> Result<Served, String> {
    let target = TlsTarget::new(&way.address, API_PORT);
    let chain = world
        .handshake(&target)
        .await
        .map_err(|e| format!("{}: {e}", way.name))?;
    let ServedLeaf { certificate, .. } = chain.leaf;
    Ok(Served {
        by: way.name.clone(),
        serial: certificate.serial,
        names: certificate
            .sans
            .iter()
            .map(|name| AltName::from_text(name))
            .collect(),
    })
}

/// The one certificate that every way serves. `Err`: they differ, or one does not answer, in words.
pub(crate) async fn agreed(world: &dyn World, ways: &[&ApiHost]) -> Result<Served, String> {
    let looks =
        futures::future::join_all(ways.iter().map(|way| async { served(world, way).await })).await;
    let all: Vec<Served> = looks.into_iter().collect::<Result<_, _>>()?;
    let serials: BTreeSet<&str> = all.iter().map(|s| s.serial.as_str()).collect();
    if serials.len() > 1 {
        let each: Vec<String> = all
            .iter()
            .map(|s| format!("{} {}", s.by, s.serial))
            .collect();
        return Err(format!("different certificates: {}", each.join(", ")));
    }
    all.into_iter()
        .next()
        .ok_or_else(|| "no server is named".to_owned())
}

/// Asks a server for a name, which makes it issue the certificate anew if the name is a `tls-san` of it
/// and missing. Never for a name that is not wanted: some versions learn what they are asked for.
pub(crate) async fn ask_for(world: &dyn World, server: &ApiHost, name: &San) -> Result<(), String> {
    let target = TlsTarget::new(&server.address, API_PORT).ask(how(name));
    world
        .handshake(&target)
        .await
        .map(drop)
        .map_err(|e| format!("{}: {e}", server.name))
}

/// A name in SNI, an address in `Host`.
pub(crate) fn how(name: &San) -> Ask {
    match name.ip() {
        Some(ip) => Ask::Host(ip.to_string()),
        None => Ask::Sni(name.to_string()),
    }
}

/// The Secret holds just what a server serves. Otherwise the server goes on with its own certificate, until
/// it starts again.
pub(crate) async fn is_shared(
    world: &dyn World,
    servers: &[ApiHost],
    served: &Served,
) -> Result<bool, StepFailure> {
    let kube = of_first(world, servers).await?;
    let found = kube
        .secret(NAMESPACE, SECRET)
        .await
        .map_err(super::failure::world)?;
    let serial = found.and_then(|secret| {
        let pem = secret.data.get(CERTIFICATE)?;
        let certificate = Certificate::from_pem(pem.expose()).ok()?;
        Some(certificate.serial().to_owned())
    });
    Ok(serial.as_ref() == Some(&served.serial))
}

/// Deletes the shared Secret if it holds a name that is not `wanted`: it would bring it back.
pub(crate) async fn drop_unwanted(
    world: &dyn World,
    servers: &[ApiHost],
    wanted: impl Fn(&AltName) -> bool,
) -> Result<(), StepFailure> {
    let kube = of_first(world, servers).await?;
    let found = kube
        .secret(NAMESPACE, SECRET)
        .await
        .map_err(super::failure::world)?;
    let holds = found.map_or_else(BTreeSet::new, |secret| annotated_names(&secret.annotations));
    if !holds.iter().all(wanted) {
        kube.delete_secret(NAMESPACE, SECRET)
            .await
            .map_err(super::failure::world)?;
    }
    Ok(())
}

/// Names in words.
pub(crate) fn words<'a>(names: impl IntoIterator<Item = &'a AltName>) -> String {
    let all: Vec<String> = names.into_iter().map(ToString::to_string).collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}
