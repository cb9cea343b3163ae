//! HTTP. Every route with what it asks of its caller stands in [`routes`]; a route cannot be without.

mod address;
mod audit;
mod clusters;
mod credentials;
mod envelope;
mod errors;
mod guard;
mod hosts;
mod input;
mod kubeconfigs;
mod page;
mod runs;
mod session;
mod snapshots;
mod stream;
mod tail;
mod users;
mod workflows;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post, put};
use coxswain_wire::Permission::{Administer, Kubeconfig, Operate, View};
use tower_http::timeout::TimeoutLayer;

use crate::app::App;
use Access::{Command, Needs, Open};

pub use envelope::CONTENT_SECURITY_POLICY;
pub use guard::Access;
pub use runs::may_command;

/// Where the API begins.
pub const API: &str = "/api/v1";
/// Longest body: a form, a pasted key.
const MAX_BODY: usize = 256 * 1024;
/// Until an answer begins; a stream may go on.
const TIMEOUT: Duration = Duration::from_secs(100);

/// One route below [`API`].
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, parameters in braces.
    pub path: &'static str,
    /// What it asks of its caller.
    pub access: Access,
    handler: MethodRouter<Arc<App>>,
}

fn route(
    method: Method,
    path: &'static str,
    access: Access,
    handler: MethodRouter<Arc<App>>,
) -> Route {
    Route {
        method,
        path,
        access,
        handler,
    }
}

/// Every route. The guard of each is made from its line.
#[must_use]
#[rustfmt::skip]
pub fn routes() -> Vec<Route> {
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const DELETE: Method = Method::DELETE;
    vec![
        route(GET,    "/boot",               Open,              get(session::boot)),
        route(POST,   "/setup",              Open,              post(session::set_up)),
        route(POST,   "/session",            Open,              post(session::sign_in)),
        route(DELETE, "/session",            Needs(View),       delete(session::sign_out)),

        route(GET,    "/stream",             Needs(View),       get(stream::overview)),

        route(GET,    "/credentials",        Needs(View),       get(credentials::list)),
        route(POST,   "/credentials",        Needs(Operate),    post(credentials::create)),
        route(DELETE, "/credentials/{id}",   Needs(Operate),    delete(credentials::delete)),

        route(GET,    "/hosts",              Needs(View),       get(hosts::list)),
        route(POST,   "/hosts",              Needs(Operate),    post(hosts::create)),
        route(PUT,    "/hosts/{id}",         Needs(Operate),    put(hosts::update)),
        route(DELETE, "/hosts/{id}",         Needs(Operate),    delete(hosts::delete)),
        route(POST,   "/hosts/{id}/scan",    Needs(Operate),    post(hosts::scan)),
        route(POST,   "/hosts/{id}/confirm", Needs(Operate),    post(hosts::confirm)),
        route(POST,   "/hosts/{id}/test",    Needs(Operate),    post(hosts::test)),

        route(GET,    "/clusters",           Needs(View),       get(clusters::list)),
        route(POST,   "/clusters",           Needs(Operate),    post(clusters::create)),
        route(GET,    "/clusters/{id}",      Needs(View),       get(clusters::show)),
        route(PUT,    "/clusters/{id}",      Needs(Operate),    put(clusters::update)),
        route(DELETE, "/clusters/{id}",      Needs(Operate),    delete(clusters::delete)),
        route(GET,    "/clusters/{id}/snapshots", Needs(View),  get(snapshots::of_cluster)),
        route(GET,    "/snapshots/{id}/file", Needs(Administer), get(snapshots::file)),

        route(POST,   "/kubeconfigs",        Needs(Kubeconfig), post(kubeconfigs::download)),

        route(GET,    "/workflows",          Needs(View),       get(workflows::list)),
        route(POST,   "/plans",              Needs(Operate),    post(workflows::plan)),

        route(GET,    "/runs",               Needs(View),       get(runs::list)),
        route(POST,   "/runs",               Needs(Operate),    post(runs::start)),
        route(GET,    "/runs/{id}",          Needs(View),       get(runs::show)),
        route(GET,    "/runs/{id}/unwind",   Needs(View),       get(runs::unwind)),
        route(GET,    "/runs/{id}/stream",   Needs(View),       get(stream::run)),
        route(GET,    "/runs/{id}/tail",     Needs(View),       get(tail::tail)),
        route(GET,    "/runs/{id}/output",   Needs(View),       get(runs::output)),
        route(POST,   "/runs/{id}/commands", Command,           post(runs::command)),

        route(GET,    "/audit",              Needs(View),       get(audit::page)),

        route(GET,    "/users",              Needs(Administer), get(users::list)),
        route(POST,   "/users",              Needs(Administer), post(users::create)),
        route(PUT,    "/users/{id}",         Needs(Administer), put(users::update)),
        route(DELETE, "/users/{id}",         Needs(Administer), delete(users::delete)),
    ]
}

/// The panel's whole HTTP side.
pub fn router(app: Arc<App>) -> Router {
    let api = routes().into_iter().fold(Router::new(), |api, route| {
        let guard = from_fn_with_state(
            guard::Gate {
                app: app.clone(),
                access: route.access,
            },
            guard::guard,
        );
        api.route(route.path, route.handler.layer(guard))
    });
    let api = api.method_not_allowed_fallback(|| async { StatusCode::METHOD_NOT_ALLOWED });
    Router::new()
        .nest(API, api.fallback(|| async { StatusCode::NOT_FOUND }))
        .route(
            "/api/{*rest}",
            axum::routing::any(|| async { StatusCode::NOT_FOUND }),
        )
        .fallback(page::page)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            TIMEOUT,
        ))
        .layer(from_fn_with_state(app.clone(), envelope::envelope))
        .with_state(app)
}
