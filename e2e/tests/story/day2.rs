//! What people do on the days after, on the cluster's page: looks, names, kubeconfigs, a lost member, snapshots and
//! old certificates; reached and opened by keyboard where that is the question.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::browser::SOON;
use coxswain_e2e::wait::until;
use fantoccini::key::Key;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::gate::{self, Run};
use super::{BALANCER, CLUSTER, SAN, SERVERS, Story, log, looks};

/// Time a look, a snapshot or a clean-up may take on a busy machine.
const SOME: Duration = Duration::from_secs(120);
/// Most presses of Tab that lead anywhere on a page.
const FAR: usize = 150;
/// As k3s names it, made by hand here: a rotation of the story's own would take minutes.
const ASIDE: &str = "/var/lib/rancher/k3s/server/tls-1790000000";

pub(crate) async fn tell(story: &Story) -> Result<()> {
    names(story).await.context("names in the certificate")?;
    nodes(story).await.context("the nodes by one key")?;
    lost_member(story).await.context("a member that is lost")?;
    kubeconfigs(story).await.context("kubeconfigs")?;
    snapshot(story).await.context("a snapshot")?;
    clean_up(story).await.context("old certificates")?;
    story.browser.no_faults().await
}

async fn cluster_page(story: &Story) -> Result<()> {
    let browser = &story.browser;
    browser.click("nav-clusters").await?;
    browser.click(&format!("cluster-card-{CLUSTER}")).await?;
    browser.see("cluster-quorum").await?;
    browser.settled().await
}

/// Goes on with Tab until something has the focus.
async fn tab_to(story: &Story, testid: &str) -> Result<()> {
    for _ in 0..FAR {
        if story.browser.focused().await?.as_deref() == Some(testid) {
            return Ok(());
        }
        story.browser.press(&Key::Tab.to_string()).await?;
    }
    anyhow::bail!("Tab does not lead to `{testid}`")
}

async fn press(story: &Story, key: Key) -> Result<()> {
    story.browser.press(&key.to_string()).await
}

/// The run whose page is open.
async fn opened(story: &Story) -> Result<Run> {
    let browser = &story.browser;
    browser.see("run-status").await?;
    let address = browser.address().await?;
    let number = address.rsplit("/runs/").next();
    let id = number.and_then(|rest| rest.split(['?', '#']).next()?.parse().ok());
    Ok(Run {
        id: id.with_context(|| format!("no run in {address}"))?,
        installs: Vec::new(),
    })
}

async fn names(story: &Story) -> Result<()> {
    cluster_page(story).await?;
    let address = &story.lab.host(SERVERS[0])?.address;
    let wanted = [
        (SAN.to_owned(), "flag, on"),
        (address.clone(), "address of node1"),
        ("kubernetes.default.svc".to_owned(), "k3s's own"),
    ];
    for (name, origin) in wanted {
        let row = format!("san-{name}");
        until(&format!("{name}: {origin}"), SOON, async || {
            let text = story.browser.hidden_text(&row).await?;
            ensure!(text.contains(origin), "it says {text}");
            Ok(Some(()))
        })
        .await?;
    }
    Ok(())
}

/// What the cluster says, started with Tab and Enter.
async fn nodes(story: &Story) -> Result<()> {
    cluster_page(story).await?;
    looks::both_themes(story, "21-cluster").await?;
    tab_to(story, "look-nodes").await?;
    press(story, Key::Enter).await?;
    opened(story).await?;
    gate::reach(story, "completed", SOME).await?;
    let version = story
        .lab
        .ssh(
            SERVERS[0],
            "k3s --version | sed -n 's/^k3s version \\([^ ]*\\).*/\\1/p'",
        )
        .await?;
    let shown = log::of_step(story, 0).await?;
    for server in SERVERS {
        let line = shown.iter().find(|line| line.starts_with(server));
        let line = line.with_context(|| format!("no line for {server}: {shown:?}"))?;
        ensure!(
            line.contains(" Ready ") && line.contains(version.trim()),
            "{server}: {line}"
        );
    }
    story.browser.shot("21-nodes").await
}

/// The log shows live how k3s ends on a server; the guide says what that means and leads to the right form.
async fn lost_member(story: &Story) -> Result<()> {
    let browser = &story.browser;
    let lost = SERVERS[2];
    let hosts = browser.json("/api/v1/hosts").await?;
    let hosts = hosts.as_array().context("a list of hosts")?;
    let host = hosts.iter().find(|host| host["name"] == lost);
    let id = host
        .and_then(|host| host["id"].as_i64())
        .context("its number")?
        .to_string();

    cluster_page(story).await?;
    browser.choose("field-hosts", &id).await?;
    browser.choose("field-lines", "20").await?;
    tab_to(story, "look-follow").await?;
    press(story, Key::Enter).await?;
    opened(story).await?;
    shows(story, |_| true).await.context("lines of the past")?;
    story.lab.ssh(lost, "systemctl stop k3s").await?;
    shows(story, |line| line.contains("Stopped k3s.service"))
        .await
        .context("the line of the moment")?;
    looks::both_themes(story, "22-followed").await?;
    browser.click("run-stop").await?;
    browser.click("run-confirm").await?;
    gate::reach(story, "completed", SOME).await?;

    cluster_page(story).await?;
    browser.see_within("recovery-guide", SOME).await?;
    let guide = browser.text("recovery-guide").await?;
    ensure!(
        guide.contains("1 of 3 servers is not healthy") && guide.contains(lost),
        "the guide says: {guide}"
    );
    looks::both_themes(story, "22-guide").await?;
    browser.click("recovery-action").await?;
    for (field, wanted) in [("field-host", id.as_str()), ("field-state", "lost")] {
        until(&format!("{field} is filled in"), SOON, async || {
            let value = "return document.querySelector(`[data-testid=${arguments[0]}]`)?.value";
            let value = browser.script(value, vec![field.into()]).await?;
            Ok((value == wanted).then_some(()))
        })
        .await?;
    }
    browser.shot("22-replace").await?;
    story.lab.ssh(lost, "systemctl start k3s").await?;
    cluster_page(story).await?;
    until("the guide is gone", SOME, async || {
        Ok((!browser.is_shown("recovery-guide").await?).then_some(()))
    })
    .await
}

/// Waits for such a line in the log on screen.
async fn shows(story: &Story, line: impl Fn(&str) -> bool) -> Result<()> {
    until("a line of the log", SOME, async || {
        let lines = log::of_step(story, 0).await?;
        Ok(lines.iter().any(|text| line(text)).then_some(()))
    })
    .await
}

/// By keyboard: one of this cluster; then merged into one that is pasted.
async fn kubeconfigs(story: &Story) -> Result<()> {
    const PASTED: &str = "apiVersion: v1\nkind: Config\nclusters:\n- name: elsewhere\n  cluster:\n    server: https://192.0.2.7:6443\n\
        contexts:\n- name: elsewhere\n  context:\n    cluster: elsewhere\n    user: me\ncurrent-context: elsewhere\n\
        users:\n- name: me\n  user: {}\n";
    let browser = &story.browser;
    cluster_page(story).await?;
    tab_to(story, "cluster-kubeconfig").await?;
    press(story, Key::Enter).await?;
    browser.see("kubeconfig-dialog").await?;
    tab_to(story, "kubeconfig-download").await?;
    press(story, Key::Enter).await?;
    let saved = String::from_utf8(browser.saved(&format!("{CLUSTER}.yaml")).await?)?;
    let endpoint = format!("https://{}:6443", story.lab.host(BALANCER)?.address);
    let ca = "sed -n 's/^ *certificate-authority-data: //p' /etc/rancher/k3s/k3s.yaml";
    let ca = story.lab.ssh(SERVERS[0], ca).await?;
    ensure!(saved.contains(&endpoint), "the file has no {endpoint}");
    ensure!(
        !ca.trim().is_empty() && saved.contains(ca.trim()),
        "the file has another CA"
    );

    // Round the dialog; a group of radio buttons is one stop.
    tab_to(story, "kubeconfig-mode-one").await?;
    press(story, Key::Left).await?;
    browser.fill("field-into", PASTED).await?;
    looks::both_themes(story, "23-kubeconfig").await?;
    browser.click("kubeconfig-download").await?;
    let merged = String::from_utf8(browser.saved("kubeconfig.yaml").await?)?;
    for part in [
        endpoint.as_str(),
        ca.trim(),
        "https://192.0.2.7:6443",
        "current-context: elsewhere",
    ] {
        ensure!(merged.contains(part), "the merged file lacks a part");
    }
    press(story, Key::Escape).await?;
    browser.gone("kubeconfig-dialog").await
}

/// Saved, in the list, and byte for byte the server's file when it is downloaded.
async fn snapshot(story: &Story) -> Result<()> {
    let browser = &story.browser;
    browser.click("cluster-action-snapshot").await?;
    browser.choose("field-action", "save").await?;
    browser.click("plan-show").await?;
    browser.click("run-start").await?;
    let run = opened(story).await?;
    gate::reach(story, "completed", SOME).await?;
    let listed = browser.json("/api/v1/clusters").await?;
    let cluster = listed.as_array().into_iter().flatten();
    let cluster = cluster.into_iter().find(|c| c["name"] == CLUSTER);
    let cluster = cluster
        .and_then(|c| c["id"].as_i64())
        .context("the cluster")?;
    let taken = browser
        .json(&format!("/api/v1/clusters/{cluster}/snapshots"))
        .await?;
    let taken = taken.as_array().into_iter().flatten();
    let taken: &Value = taken
        .into_iter()
        .find(|snapshot| snapshot["run"] == run.id)
        .context("the run's snapshot")?;
    let text = |key: &str| taken[key].as_str().map(str::to_owned).context("a text");
    let (server, path) = (text("server")?, text("path")?);
    let name = path.rsplit('/').next().unwrap_or_default();

    cluster_page(story).await?;
    let list = browser.text("cluster-snapshots").await?;
    ensure!(list.contains(name), "the list has no {name}: {list}");
    // The newest stands first.
    browser.click("snapshot-download").await?;
    let saved = browser.saved(name).await?;
    let sum = story.lab.ssh(&server, &format!("sha256sum {path}")).await?;
    let own = sum.split_whitespace().next().context("a checksum")?;
    let seen: String = Sha256::digest(&saved)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    ensure!(seen == own, "the saved file has {seen}, the server's {own}");
    Ok(())
}

/// The gate shows the folder; afterwards it is gone, and nothing else.
async fn clean_up(story: &Story) -> Result<()> {
    let browser = &story.browser;
    let make = format!(
        "set -eu; umask 077; for d in {ASIDE} {ASIDE}-mine; do mkdir $d; echo old >$d/client-admin.crt; done"
    );
    story.lab.ssh(SERVERS[1], &make).await?;
    cluster_page(story).await?;
    browser.click("cluster-action-certificate_rotation").await?;
    browser.choose("field-what", "clean_up").await?;
    browser.gone("field-extent").await?;
    browser.shot("24-clean-up-form").await?;
    browser.click("plan-show").await?;
    browser.click("run-start").await?;
    opened(story).await?;
    gate::reach(story, "waiting", SOME).await?;
    // On screen, not behind a click.
    let shown = browser.text("gate").await?;
    ensure!(
        shown.contains(ASIDE),
        "the gate does not name {ASIDE}: {shown}"
    );
    ensure!(
        !shown.contains("-mine"),
        "the gate names what is not k3s's: {shown}"
    );
    looks::both_themes(story, "24-clean-up-gate").await?;
    browser.fill("field-comment", "Nobody needs them.").await?;
    browser.fill("field-confirm", CLUSTER).await?;
    browser.click("gate-approve").await?;
    gate::leave(story, "waiting", SOME).await?;
    gate::reach(story, "completed", SOME).await?;
    looks::both_themes(story, "24-clean-up").await?;
    let left = format!("ls -d /var/lib/rancher/k3s/server/tls-*; rm -r {ASIDE}-mine");
    let left = story.lab.ssh(SERVERS[1], &left).await?;
    ensure!(left.trim() == format!("{ASIDE}-mine"), "left: {left}");
    Ok(())
}
