//! `GET /_matrix/client/v1/media/preview_url`, and the older ones

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    http::{ApiError, Json, Query},
    media::{Media, Preview, PreviewError},
    users::Requester,
};

#[derive(Deserialize)]
pub(super) struct Asked {
    url: String,
    /// When the page was as it is to be shown: it is shown as it is.
    #[serde(rename = "ts")]
    _ts: Option<u64>,
}

pub(super) async fn preview(
    State(media): State<Media>,
    _requester: Requester,
    Query(asked): Query<Asked>,
) -> Result<Json<Map<String, Value>>, ApiError> {
    let preview = media.preview(&asked.url).await?;
    Ok(Json(render(&preview)))
}

fn render(preview: &Preview) -> Map<String, Value> {
    let texts = preview.texts.iter().map(|(name, text)| (name.clone(), text.as_str().into()));
    let picture = preview.picture.iter().flat_map(|picture| {
        [
            ("og:image", picture.uri.as_str().into()),
            ("og:image:type", picture.content_type.into()),
            ("og:image:width", picture.width.into()),
            ("og:image:height", picture.height.into()),
            ("matrix:image:size", picture.size.into()),
        ]
    });
    texts.chain(picture.map(|(name, value): (&str, Value)| (name.to_owned(), value))).collect()
}

impl From<PreviewError> for ApiError {
    fn from(error: PreviewError) -> Self {
        let message = error.to_string();
        match error {
            PreviewError::Off => Self::new(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", message),
            PreviewError::BadUrl => Self::invalid_param(message),
            PreviewError::Refused => Self::forbidden(message),
            PreviewError::Redirects | PreviewError::Unreachable | PreviewError::Status(_) => {
                Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", message)
            }
            PreviewError::TooSlow => Self::new(StatusCode::GATEWAY_TIMEOUT, "M_UNKNOWN", message),
            PreviewError::Busy => Self::unavailable(message),
        }
    }
}
