//! The list of routes: what the router is built from, and what `roost routes` prints.

use axum::{
    Router,
    handler::Handler,
    http::{Method, StatusCode},
    routing::{MethodFilter, on},
};

use super::{Api, ApiError, front::Named};

/// One method at one path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Route {
    pub path: String,
    pub method: &'static str,
}

/// Routes with their handlers.
#[derive(Default)]
pub struct Routes {
    list: Vec<Route>,
    router: Router<Api>,
}

impl Routes {
    /// Adds `handler` at the whole `path`.
    #[must_use]
    pub fn at<H, T>(mut self, method: &'static str, path: &str, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        let filter = Method::from_bytes(method.as_bytes()).ok().and_then(|m| MethodFilter::try_from(m).ok());
        let Some(filter) = filter else { return self };
        self.list.push(Route { path: path.to_owned(), method });
        self.router = self.router.route(path, on(filter, handler));
        self
    }

    /// Adds `handler` at `/_matrix/client/v3/{path}` and its older name under `r0`.
    #[must_use]
    pub fn v3<H, T>(self, method: &'static str, path: &str, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        self.at(method, &format!("/_matrix/client/v3/{path}"), handler.clone()).at(
            method,
            &format!("/_matrix/client/r0/{path}"),
            handler,
        )
    }

    /// Adds `handler` at `/_matrix/client/v1/{path}`.
    #[must_use]
    pub fn v1<H, T>(self, method: &'static str, path: &str, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        self.at(method, &format!("/_matrix/client/v1/{path}"), handler)
    }

    /// Adds all of `other`.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.list.extend(other.list);
        self.router = self.router.merge(other.router);
        self
    }

    /// What there is, sorted.
    pub fn list(&self) -> Vec<Route> {
        let mut list = self.list.clone();
        list.sort();
        list
    }

    pub(super) fn into_router(self, api: Api) -> Router {
        let router = self.router.fallback(unknown_route).method_not_allowed_fallback(wrong_method);
        router.with_state(api).layer(tower::layer::layer_fn(Named))
    }
}

async fn unknown_route() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "This server has no such endpoint.")
}

async fn wrong_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", "This endpoint does not take that method.")
}
