//! Reports of failover drills.

use coxswain::serve::park_unfinished;
use coxswain::store::EarlierRun;
use coxswain_engine::event::Event;
use coxswain_engine::plan::Plan;
use coxswain_engine::store::Store as _;
use coxswain_engine::testing::checks::starter;
use coxswain_wire::{
    Cluster, ClusterId, DrillAvailability, DrillFault, DrillPlane, DrillPoint, DrillReport,
    DrillScore, DrillSpan, DrillVerdict, FieldValue, Report, Role, RunId, RunStatus, Timestamp,
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::{Panel, host};

/// Somebody named things to break out of a page.
const EVIL: &str = "<script>alert(1)</script>\"'&";

fn report(run: RunId) -> DrillReport {
    DrillReport {
        run,
        cluster: "prod".to_owned(),
        victim: "node1".to_owned(),
        fault: DrillFault::Cut,
        started_at: Timestamp(1_795_326_133_000),
        healed_at: Some(Timestamp(1_795_326_553_000)),
        ended_at: Timestamp(1_795_326_553_000),
        planned_s: 420,
        aborted: Some(EVIL.to_owned()),
        points: vec![DrillPoint {
            name: EVIL.to_owned(),
            after_ms: Some(41_000),
            limit_ms: Some(60_000),
            after_healing: false,
            observed: "41.0 s".to_owned(),
            expected: EVIL.to_owned(),
            verdict: DrillVerdict::AsExpected,
        }],
        availability: vec![DrillAvailability {
            plane: DrillPlane::ControlPlane,
            name: EVIL.to_owned(),
            away: vec![DrillSpan {
                from_ms: 1000,
                until_ms: 9000,
            }],
            unseen: vec![DrillSpan {
                from_ms: 20_000,
                until_ms: 30_000,
            }],
            away_ms: 8000,
            longest_ms: 8000,
            observed_ms: 420_000,
        }],
        gaps: Vec::new(),
        stuck: vec![EVIL.to_owned()],
        score: DrillScore {
            points: Some(97),
            rule: EVIL.to_owned(),
            parts: Vec::new(),
        },
        earlier: Vec::new(),
    }
}

async fn cluster(panel: &Panel) -> Cluster {
    let server = host(panel, 1).await.id;
    let operator = panel.role(Role::Operator).await;
    let members = json!([{ "host": server, "role": "server" }]);
    operator
        .post("/clusters", json!({ "name": "prod", "members": members }))
        .await
        .is(201)
}

#[tokio::test]
async fn a_report_is_read_and_printed_and_nothing_in_it_becomes_markup() {
    let panel = Panel::new().await;
    let cluster = cluster(&panel).await;
    let viewer = panel.role(Role::Viewer).await;
    let (run, fault) = (RunId(7), DrillFault::Cut);
    for path in ["/runs/7/report", "/runs/7/report.html"] {
        assert_eq!(viewer.get(path).await.refused(404).code, "not_found");
    }
    let db = &panel.app.db;
    let record = json!({ "fault_at": 1 });
    db.keep_drill_record(run, cluster.id, fault, &record)
        .await
        .unwrap();
    assert_eq!(db.drill_record(run).await.unwrap(), Some(record.clone()));
    viewer.get("/runs/7/report").await.refused(404);
    let made = report(run);
    db.keep_drill_report(&made).await.unwrap();
    let read: DrillReport = viewer.get("/runs/7/report").await.is(200);
    assert_eq!(read, made);

    let path = "/api/v1/runs/7/report.html";
    let answer = viewer.send(http::Method::GET, path, None).await;
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    let policy = header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"),
        "{policy}"
    );
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8(body.to_vec()).unwrap();
    assert!(!page.contains("<script"), "{page}");
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{page}"
    );
    assert!(
        page.contains("97 of 100") && !page.contains("http"),
        "{page}"
    );

    // Earlier ones of the same fault only; a new record of the same run makes its report void.
    let earlier = |before: i64, fault| db.earlier_drills(cluster.id, fault, RunId(before), 10);
    let kept = EarlierRun::Reported(Box::new(made));
    assert_eq!(earlier(8, fault).await.unwrap(), [kept]);
    assert!(earlier(7, fault).await.unwrap().is_empty());
    assert!(earlier(8, DrillFault::Stopped).await.unwrap().is_empty());
    db.keep_drill_record(run, cluster.id, fault, &record)
        .await
        .unwrap();
    viewer.get("/runs/7/report").await.refused(404);
    let plan = None;
    let seen = EarlierRun::Unreported { run, record, plan };
    assert_eq!(earlier(8, fault).await.unwrap(), [seen]);
}

fn drill(cluster: ClusterId) -> Plan {
    let host = |id: i64| json!({ "host": id, "name": format!("node{id}"), "address": format!("10.0.0.{id}") });
    let params = json!({
        "cluster": "prod", "observe_s": 420, "downtime_s": 30,
        "watched": { "cluster": cluster, "victim": host(1), "others": [host(2), host(3)], "load_balancers": [],
            "fault": { "kind": "stopped" } },
    });
    serde_json::from_value(json!({
        "workflow": "failover_drill", "title": "Drill", "inputs": {}, "cluster": cluster, "cluster_name": "prod",
        "locks": [], "warnings": [],
        "stages": [{ "title": "Report", "gate": null, "steps": [{
            "kind": "report_drill", "title": "Make the report", "host": null, "target": "prod", "params": params,
            "commands": [], "undo": null, "irreversible": false, "deadline_s": 60,
            "interruptible": false, "forecast": null }] }],
    }))
    .unwrap()
}

/// A drill in the panel's database, parked.
async fn parked(panel: &Panel, cluster: ClusterId) -> RunId {
    let plan = drill(cluster);
    let created = Event::Created {
        by: starter(),
        plan_sha256: plan.sha256(),
    };
    let runs = &panel.app.runs;
    let made = runs.create(&plan, created, Timestamp(0), RunStatus::Preflight);
    let run = made.await.unwrap();
    park_unfinished(runs).await.unwrap();
    run
}

/// What a drill has seen: node2 was away for the last 20 of 30 seconds.
fn seen() -> Value {
    let look = json!({ "spans": [{ "from": 1000, "until": 31_000, "value": null }] });
    let away = json!({ "spans": [
        { "from": 1000, "until": 11_000, "value": true }, { "from": 11_000, "until": 31_000, "value": false }] });
    json!({ "fault_at": 1000, "looked": look, "ways": { "node2": away }, "leaving": [EVIL] })
}

#[tokio::test]
async fn a_drill_that_ended_early_reports_what_was_seen() {
    let panel = Panel::new().await;
    let cluster = cluster(&panel).await.id;
    let viewer = panel.role(Role::Viewer).await;
    let db = &panel.app.db;
    let run = parked(&panel, cluster).await;
    let path = |what: &str| format!("/runs/{run}/report{what}");
    viewer.get(&path("")).await.refused(404);
    let keep = async |run, record: Value| {
        let kept = db.keep_drill_record(run, cluster, DrillFault::Stopped, &record);
        kept.await.unwrap();
    };
    // Noted before the fault is made: nobody has looked yet.
    keep(run, json!({ "fault_at": 1000 })).await;
    viewer.get(&path("")).await.refused(404);
    viewer.get(&path("/page")).await.refused(404);

    keep(run, seen()).await;
    let report: DrillReport = viewer.get(&path("")).await.is(200);
    assert_eq!((report.started_at.0, report.ended_at.0), (1000, 31_000));
    let why = report.aborted.unwrap();
    assert!(why.contains("did not get to the end"), "{why}");
    let node2 = report.availability.iter().find(|a| a.name == "node2");
    assert_eq!(node2.unwrap().away_ms, 20_000);
    let stuck = report
        .points
        .iter()
        .find(|p| p.name.starts_with("Pods stuck"));
    let stuck = stuck.unwrap();
    assert_eq!(stuck.verdict, DrillVerdict::NotObserved, "{stuck:?}");
    assert!(stuck.observed.contains("nobody watched"), "{stuck:?}");

    let page: Report = viewer.get(&path("/page")).await.is(200);
    let drawn = &page.timelines[0];
    assert!(drawn.lanes.iter().any(|lane| lane.name == "node2"));
    assert_eq!(page.next[0].workflow, "stuck_pods");
    assert_eq!(page.next[0].inputs["node"], FieldValue::Id(1));

    // Later ones are compared with it.
    let later = parked(&panel, cluster).await;
    keep(later, seen()).await;
    let report: DrillReport = viewer.get(&format!("/runs/{later}/report")).await.is(200);
    let [earlier] = &report.earlier[..] else {
        panic!("compared with {:?}", report.earlier);
    };
    assert!(earlier.run == run && earlier.aborted, "{earlier:?}");
    let page: Report = viewer
        .get(&format!("/runs/{later}/report/page"))
        .await
        .is(200);
    let tables = page.tables.iter().flat_map(|table| &table.rows);
    assert!(
        tables.flatten().any(|cell| cell.ends_with(", ended early")),
        "{page:?}"
    );
}
