//! Users.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use coxswain_wire::{NewUser, User, UserChange, UserId};
use zeroize::Zeroizing;

use super::errors::{Answer, Failure};
use super::guard::Caller;
use super::input::{Id, Input};
use crate::app::App;
use crate::time::now;

pub(super) async fn list(State(app): State<Arc<App>>) -> Answer<Json<Vec<User>>> {
    Ok(Json(app.db.users().await?))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Input(request): Input<NewUser>,
) -> Answer<(StatusCode, Json<User>)> {
    let NewUser {
        name,
        password,
        role,
    } = request;
    let user = app
        .auth
        .create_user(&caller.who(), &name, Zeroizing::new(password), role)
        .await?;
    Ok((StatusCode::CREATED, Json(user)))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<UserId>,
    Input(UserChange { kubeconfig }): Input<UserChange>,
) -> Answer<Json<User>> {
    let changed = app
        .db
        .set_user_kubeconfig(&caller.who(), now(), id, kubeconfig)
        .await?;
    Ok(Json(changed))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<UserId>,
) -> Answer<StatusCode> {
    if caller.signed_in.session.user == id {
        return Err(Failure::conflict(
            "Nobody removes their own account; ask another admin.",
        ));
    }
    app.db.delete_user(&caller.who(), now(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
