//! Hosts and their enrolment.

use coxswain_wire::{ConnectionTest, Enrolment, Host, HostKey, RunId, RunStatus, StepStatus};
use serde_json::{Value, json};

use crate::support::{
    HOLD, Panel, Reply, approve, credential, host, new_host, reaches, until, waiting_run,
    waiting_run_with,
};

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

#[tokio::test]
async fn bad_input_names_the_field_and_stores_nothing() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let key = credential(&panel, "key").await;
    host(&panel, 1).await;
    let good = new_host(2, &key);
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("not a name")),
        ("name", json!("Upper")),
        ("name", json!("-dash")),
        ("name", json!("node1")),
        ("name", json!(5)),
        ("name", json!("node\u{202e}3")),
        ("name", json!("node\u{200b}3")),
        ("ssh_address", json!("-oProxyCommand=touch /tmp/x")),
        ("ssh_address", json!("-10.0.0.2")),
        ("ssh_address", json!("10.0.0.2:22")),
        ("ssh_address", json!("10.0.0.256")),
        ("ssh_address", json!("user@host")),
        ("ssh_address", json!("")),
        ("ssh_address", json!("10.0.0.1")),
        ("ssh_address", json!("no\u{2066}de.example")),
        ("ssh_address", json!("169.254.7.7")),
        ("ssh_address", json!("::ffff:169.254.7.7")),
        ("ssh_address", json!("fe80::1")),
        ("ssh_address", json!("255.255.255.255")),
        ("ssh_address", json!("224.0.0.1")),
        ("ssh_address", json!("ff02::1")),
        ("ssh_address", json!("0.0.0.0")),
        ("ssh_address", json!("0.0.0.7")),
        ("ssh_address", json!("::")),
        ("ssh_port", json!(0)),
        ("ssh_port", json!(70000)),
        ("ssh_port", json!("22")),
        ("ssh_user", json!("")),
        ("ssh_user", json!("-root")),
        ("ssh_user", json!("ops;reboot")),
        ("node_address", json!("node2.example")),
        ("node_address", json!("10.0.0.1")),
        ("node_address", json!("127.0.0.1")),
        ("node_address", json!("-1")),
        ("node_address", json!("169.254.7.7")),
        ("node_address", json!("fe80::1")),
        ("node_address", json!("255.255.255.255")),
        ("credential", json!(99)),
        ("credential", json!("key")),
        ("colour", json!("blue")),
    ] {
        let body = with(good.clone(), field, value);
        let error = admin.post("/hosts", body.clone()).await.refused(422);
        assert_eq!(
            error.field.as_deref(),
            Some(field),
            "{body}: {}",
            error.message
        );
    }
    // A name needs an address for k3s beside it.
    let named = with(good.clone(), "ssh_address", json!("node2.example"));
    assert_eq!(
        admin
            .post("/hosts", named)
            .await
            .refused(422)
            .field
            .as_deref(),
        Some("node_address")
    );
    let hosts: Vec<Host> = admin.get("/hosts").await.is(200);
    assert_eq!(hosts.len(), 1, "nothing was stored");
    // The same address at another port is another sshd, but k3s needs an address of its own.
    let port = with(
        with(good, "ssh_address", json!("10.0.0.1")),
        "ssh_port",
        json!(2222),
    );
    assert_eq!(
        admin
            .post("/hosts", port.clone())
            .await
            .refused(422)
            .field
            .as_deref(),
        Some("node_address")
    );
    let own: Host = admin
        .post("/hosts", with(port, "node_address", json!("10.0.0.2")))
        .await
        .is(201);
    assert_eq!(own.ssh_port, 2222);
}

#[tokio::test]
async fn addresses_are_kept_in_one_form() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let key = credential(&panel, "key").await;
    let first = with(new_host(1, &key), "ssh_address", json!("fd00:0:0:0::1"));
    let host: Host = admin.post("/hosts", first).await.is(201);
    assert_eq!(
        (host.ssh_address.as_str(), host.node_address.as_str()),
        ("fd00::1", "fd00::1")
    );
    let second = with(new_host(2, &key), "ssh_address", json!("FD00::1"));
    assert_eq!(
        admin
            .post("/hosts", second)
            .await
            .refused(422)
            .field
            .as_deref(),
        Some("ssh_address")
    );
}

#[tokio::test]
async fn keys_are_pinned_only_as_a_person_saw_them() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let host = host(&panel, 1).await;
    let at = |what: &str| format!("/hosts/{}{what}", host.id);
    assert_eq!(host.enrolment, Enrolment::Unconfirmed);
    assert_eq!(
        admin.post(&at("/scan"), json!({})).await.refused(502).code,
        "host_failed"
    );
    let early = json!({"fingerprints": ["SHA256:one"]});
    assert_eq!(
        admin.post(&at("/confirm"), early).await.refused(409).code,
        "conflict"
    );

    panel.machines.show_keys(&["one", "two"]);
    let shown: Vec<HostKey> = admin.post(&at("/scan"), json!({})).await.is(200);
    assert_eq!(shown.len(), 2);
    for wrong in [
        json!(["SHA256:one"]),
        json!([]),
        json!(["SHA256:one", "SHA256:two", "SHA256:evil"]),
    ] {
        let error = admin
            .post(&at("/confirm"), json!({"fingerprints": wrong}))
            .await
            .refused(422);
        assert_eq!(error.field.as_deref(), Some("fingerprints"));
    }
    let both = json!({"fingerprints": ["SHA256:two", "SHA256:one"]});
    let pinned: Host = admin.post(&at("/confirm"), both.clone()).await.is(200);
    let Enrolment::Pinned { keys, .. } = pinned.enrolment else {
        panic!("not pinned")
    };
    assert_eq!(keys.len(), 2);
    // A confirmation is used up.
    assert_eq!(admin.post(&at("/confirm"), both.clone()).await.status, 409);

    // Another user keeps the keys, another address takes them away.
    let body = |address: &str, user: &str| json!({"name": "node1", "ssh_address": address, "ssh_user": user, "credential": host.credential});
    let same: Host = admin.put(&at(""), body("10.0.0.1", "root")).await.is(200);
    assert!(matches!(same.enrolment, Enrolment::Pinned { .. }));
    admin.post(&at("/scan"), json!({})).await;
    let moved: Host = admin.put(&at(""), body("10.0.0.9", "root")).await.is(200);
    assert_eq!(moved.enrolment, Enrolment::Unconfirmed);
    // What was scanned at the old address cannot be confirmed for the new one.
    assert_eq!(
        admin.post(&at("/confirm"), both).await.refused(409).code,
        "conflict"
    );
}

/// A host with the pinned keys `one`, and a run that is at work on it.
async fn at_work(panel: &Panel) -> (Host, RunId) {
    let admin = panel.admin().await;
    let host = host(panel, 1).await;
    panel.machines.show_keys(&["one"]);
    confirm(panel, &host).await.is::<Host>(200);
    let run = waiting_run_with(panel, json!({"text": HOLD, "host": host.id})).await;
    // Before the approval everything may change: the evidence says so.
    let _: Host = admin
        .put(&format!("/hosts/{}", host.id), new(&host, &[]))
        .await
        .is(200);
    approve(panel, run).await;
    until(panel, run, |v| v.steps[0].status == StepStatus::Running).await;
    (host, run)
}

/// Scans the keys that the machine shows and pins them.
async fn confirm(panel: &Panel, host: &Host) -> Reply {
    let admin = panel.admin().await;
    let path = |what: &str| format!("/hosts/{}/{what}", host.id);
    let shown: Vec<HostKey> = admin.post(&path("scan"), json!({})).await.is(200);
    let prints: Vec<&str> = shown.iter().map(|k| k.fingerprint.as_str()).collect();
    let keys = json!({ "fingerprints": prints });
    admin.post(&path("confirm"), keys).await
}

/// The request for `node1` with these fields.
fn new(host: &Host, fields: &[(&str, Value)]) -> Value {
    let mut body = json!({"name": "node1", "ssh_address": "10.0.0.1", "node_address": "10.0.0.1", "ssh_user": "root", "credential": host.credential});
    for (field, value) in fields {
        body[*field] = value.clone();
    }
    body
}

#[tokio::test]
async fn nothing_of_a_host_changes_while_a_run_is_at_work_on_it() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let (host, run) = at_work(&panel).await;
    let path = format!("/hosts/{}", host.id);
    for field in [
        ("ssh_user", json!("ops")),
        ("ssh_port", json!(2222)),
        ("ssh_address", json!("10.0.0.9")),
    ] {
        let error = admin
            .put(&path, new(&host, std::slice::from_ref(&field)))
            .await
            .refused(409);
        let words = format!("Run {run} (Note something) was approved for node1 and is at work");
        assert!(error.message.starts_with(&words), "{}", error.message);
    }
    assert_eq!(confirm(&panel, &host).await.status, 409);
    assert_eq!(admin.delete(&path).await.status, 409);
    // Another host is nobody's business.
    let other = crate::support::host(&panel, 2).await;
    assert_eq!(
        admin.delete(&format!("/hosts/{}", other.id)).await.status,
        204
    );
}

#[tokio::test]
async fn the_way_to_the_machine_of_a_failed_run_is_mended() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let (host, run) = at_work(&panel).await;
    let path = format!("/hosts/{}", host.id);
    let say = async |command: Value| {
        let told = admin.post(&format!("/runs/{run}/commands"), command).await;
        assert_eq!(told.status, 200, "{told:?}");
    };
    say(json!({"command": "kill"})).await;
    reaches(&panel, run, RunStatus::Failed).await;

    // The pinned keys stay: they tell that it is the same machine.
    let key = credential(&panel, "better").await;
    let pinned = |host: &Host| match &host.enrolment {
        Enrolment::Pinned { keys, .. } => keys.iter().map(|k| k.fingerprint.clone()).collect(),
        Enrolment::Unconfirmed => vec![],
    };
    let way = [
        ("ssh_user", json!("ops")),
        ("ssh_port", json!(2222)),
        ("ssh_address", json!("10.0.0.9")),
        ("credential", json!(key.id)),
    ];
    let mended: Host = admin.put(&path, new(&host, &way)).await.is(200);
    assert_eq!((mended.ssh_user.as_str(), mended.ssh_port), ("ops", 2222));
    assert_eq!(pinned(&mended), ["SHA256:one"]);
    confirm(&panel, &host).await.is::<Host>(200);

    // Another machine it does not become.
    panel.machines.show_keys(&["two"]);
    for refused in [
        confirm(&panel, &host).await,
        admin
            .put(&path, new(&host, &[("node_address", json!("10.0.0.9"))]))
            .await,
        admin
            .put(&path, new(&host, &[("name", json!("node9"))]))
            .await,
        admin.delete(&path).await,
    ] {
        let error = refused.refused(409);
        let words = format!("Run {run} (Note something) was approved for node1 as it is now");
        assert!(error.message.starts_with(&words), "{}", error.message);
    }
    let hosts: Vec<Host> = admin.get("/hosts").await.is(200);
    assert_eq!(pinned(&hosts[0]), ["SHA256:one"]);

    // Tried again it is at work again; when it is over, all may change.
    say(json!({"command": "retry"})).await;
    until(&panel, run, |v| v.steps[0].status == StepStatus::Running).await;
    assert_eq!(admin.put(&path, new(&host, &[])).await.status, 409);
    say(json!({"command": "kill"})).await;
    reaches(&panel, run, RunStatus::Failed).await;
    say(json!({"command": "abandon", "comment": "not today", "dead_hosts": []})).await;
    reaches(&panel, run, RunStatus::Abandoned).await;
    let moved: Host = admin.put(&path, new(&host, &[])).await.is(200);
    assert_eq!(moved.enrolment, Enrolment::Unconfirmed);
    confirm(&panel, &host).await.is::<Host>(200);
    assert_eq!(admin.delete(&path).await.status, 204);
}

#[tokio::test]
async fn an_approved_run_that_waits_binds_a_host_without_keys_to_its_address() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let host = host(&panel, 1).await;
    let path = format!("/hosts/{}", host.id);
    // Another run holds the lock: the approved one waits for it.
    let first = waiting_run(&panel, "first").await;
    let mut tx = panel.app.db.write().await.unwrap();
    sqlx::query("INSERT INTO lock (resource, run, taken_at) VALUES ('test:1', ?, 0)")
        .bind(first.0)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let run = waiting_run_with(&panel, json!({"text": "x", "host": host.id})).await;
    approve(&panel, run).await;
    until(&panel, run, |v| v.notice.is_some()).await;
    let _: Host = admin.put(&path, new(&host, &[])).await.is(200);
    panel.machines.show_keys(&["one"]);
    assert_eq!(confirm(&panel, &host).await.status, 409);
    let moved = new(&host, &[("ssh_address", json!("10.0.0.9"))]);
    assert_eq!(admin.put(&path, moved).await.status, 409);
    let hosts: Vec<Host> = admin.get("/hosts").await.is(200);
    assert_eq!(hosts[0].enrolment, Enrolment::Unconfirmed);
}

#[tokio::test]
async fn the_latest_test_is_kept_until_something_changes() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let host = host(&panel, 1).await;
    let path = format!("/hosts/{}", host.id);
    let test: ConnectionTest = admin.post(&format!("{path}/test"), json!({})).await.is(200);
    let hosts: Vec<Host> = admin.get("/hosts").await.is(200);
    assert_eq!(hosts[0].last_test.as_ref(), Some(&test));
    let body = json!({"name": "node1", "ssh_address": "10.0.0.1", "ssh_user": "root", "credential": host.credential});
    let changed: Host = admin.put(&path, body).await.is(200);
    assert_eq!(changed.last_test, None);
    assert_eq!(admin.post("/hosts/99/test", json!({})).await.status, 404);
    assert_eq!(
        admin
            .put("/hosts/99", new_host(3, &credential(&panel, "k2").await))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_power_control_is_checked_and_its_host_is_kept() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let key = credential(&panel, "key").await;
    let switch = host(&panel, 1).await;
    let good = |via: i64| {
        json!({
            "via": via,
            "on": ["lab-power", "on", "node2"],
            "off": ["lab-power", "off", "node2"],
            "status": ["lab-power", "status", "node2"],
        })
    };
    for (field, power) in [
        ("power.via", good(99)),
        ("power.on", with(good(switch.id.0), "on", json!([]))),
        ("power.off", with(good(switch.id.0), "off", json!(["-x"]))),
        (
            "power.status",
            with(good(switch.id.0), "status", json!(["a\nb"])),
        ),
        (
            "power.on",
            with(good(switch.id.0), "on", json!(["x".repeat(300)])),
        ),
        (
            "power.off",
            with(
                good(switch.id.0),
                "off",
                json!(["virsh", "destroy", "my node"]),
            ),
        ),
        (
            "power.status",
            with(good(switch.id.0), "status", json!(["virsh", ""])),
        ),
        (
            "power.on",
            with(good(switch.id.0), "on", json!(["on", "a\u{202e}b"])),
        ),
    ] {
        let body = with(new_host(2, &key), "power", power);
        let error = admin.post("/hosts", body).await.refused(422);
        assert_eq!(error.field.as_deref(), Some(field), "{}", error.message);
    }
    for words in [
        json!([
            "/usr/bin/ipmitool",
            "-H",
            "bmc",
            "-U",
            "ops",
            "-P",
            "x",
            "chassis"
        ]),
        json!(["fence_ipmilan", "-px", "-o", "on"]),
        json!(["power", "--password=x"]),
        json!(["curl", "https://ops:x@bmc/on"]),
    ] {
        let power = with(good(switch.id.0), "on", words);
        let body = with(new_host(2, &key), "power", power);
        let error = admin.post("/hosts", body).await.refused(422);
        assert_eq!(error.field.as_deref(), Some("power.on"));
        assert!(error.message.contains("audit"), "{}", error.message);
    }
    let hosts: Vec<Host> = admin.get("/hosts").await.is(200);
    assert_eq!(hosts.len(), 1, "nothing was stored");

    let file = json!([
        "ipmitool",
        "-H",
        "bmc",
        "-p",
        "623",
        "-f",
        "/root/bmc",
        "chassis",
        "status"
    ]);
    let power = with(good(switch.id.0), "status", file);
    let body = with(new_host(3, &key), "power", power);
    let kept: Host = admin.post("/hosts", body).await.is(201);
    let gone = admin.delete(&format!("/hosts/{}", kept.id)).await;
    assert_eq!(gone.status, 204);

    let body = with(new_host(2, &key), "power", good(switch.id.0));
    let made: Host = admin.post("/hosts", body).await.is(201);
    let control = made.power.clone().unwrap();
    assert_eq!((control.via, control.on.len()), (switch.id, 3));
    let path = format!("/hosts/{}", made.id);
    let own = with(new_host(2, &key), "power", good(made.id.0));
    let error = admin.put(&path, own).await.refused(422);
    assert_eq!(error.field.as_deref(), Some("power.via"));
    let gone = admin.delete(&format!("/hosts/{}", switch.id)).await;
    assert_eq!(gone.refused(409).code, "conflict");
    let plain: Host = admin.put(&path, new_host(2, &key)).await.is(200);
    assert_eq!(plain.power, None);
    assert_eq!(
        admin.delete(&format!("/hosts/{}", switch.id)).await.status,
        204
    );
}
