//! Clusters of the inventory.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use coxswain_k3s::names::{Address, ClusterName, NameError};
use coxswain_wire::{Cluster, ClusterId, MemberRole, NewCluster};

use super::errors::{Answer, Failure};
use super::guard::Caller;
use super::hosts::a_machines;
use super::input::{Id, Input};
use crate::app::App;
use crate::store::ClusterInput;
use crate::time::now;

pub(super) async fn list(State(app): State<Arc<App>>) -> Answer<Json<Vec<Cluster>>> {
    Ok(Json(app.clusters().await?))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Id(id): Id<ClusterId>,
) -> Answer<Json<Cluster>> {
    Ok(Json(cluster(&app, id).await?))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Input(request): Input<NewCluster>,
) -> Answer<(StatusCode, Json<Cluster>)> {
    let id = app
        .db
        .create_cluster(&caller.who(), now(), &check(request)?)
        .await?;
    Ok((StatusCode::CREATED, Json(cluster(&app, id).await?)))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<ClusterId>,
    Input(request): Input<NewCluster>,
) -> Answer<Json<Cluster>> {
    app.db
        .update_cluster(&caller.who(), now(), id, &check(request)?)
        .await?;
    Ok(Json(cluster(&app, id).await?))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<ClusterId>,
) -> Answer<StatusCode> {
    app.db.delete_cluster(&caller.who(), now(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn cluster(app: &App, id: ClusterId) -> Answer<Cluster> {
    app.cluster(id)
        .await?
        .ok_or_else(|| Failure::not_found(format!("cluster {id}")))
}

fn check(cluster: NewCluster) -> Answer<ClusterInput> {
    let NewCluster {
        name,
        endpoint,
        members,
    } = cluster;
    let wrong = |field: &'static str| move |e: NameError| Failure::field(field, format!("{e}."));
    let name: ClusterName = name.trim().parse().map_err(wrong("name"))?;
    let endpoint = match endpoint.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(text) => {
            let address: Address = text.parse().map_err(wrong("endpoint"))?;
            if let Some(ip) = address.ip() {
                a_machines("endpoint", ip)?;
            }
            Some(address)
        }
    };
    if !members.iter().any(|m| m.role == MemberRole::Server) {
        return Err(Failure::field(
            "members",
            "A cluster has at least one server.",
        ));
    }
    Ok(ClusterInput {
        name,
        endpoint,
        members,
    })
}
