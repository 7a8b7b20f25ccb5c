//! `GET /`: what somebody sees who opens the server's address in a browser.
//!
//! **Invariant:** the page loads nothing, runs nothing and links nowhere; what is configured is escaped.

use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{Routes, Site};

const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

pub(super) fn routes() -> Routes {
    Routes::default().at("GET", "/", welcome)
}

async fn welcome(State(site): State<Site>) -> Response {
    (HEADERS, page(site.server_name(), site.public_url())).into_response()
}

fn page(server_name: &str, public_url: &str) -> String {
    let (name, url) = (escaped(server_name), escaped(public_url));
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Roost</title>
<style>
:root {{ color-scheme: light dark; --page: #f6f5f2; --text: #23211d; --quiet: #6a655c; --field: #fff; --good: #2d7a3e }}
@media (prefers-color-scheme: dark) {{
:root {{ --page: #1b1a18; --text: #e9e6e0; --quiet: #a39d92; --field: #292724; --good: #6cc583 }} }}
body {{ background: var(--page); color: var(--text); font: 1.05rem/1.5 system-ui, sans-serif; margin: 12vh auto 2rem;
max-width: 34rem; padding: 0 1.5rem }}
h1 {{ font-size: 1.7rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere }}
b {{ color: var(--good) }}
p {{ margin: 1rem 0 }}
code {{ background: var(--field); border-radius: .4rem; display: block; font-size: 1.05rem; margin: .4rem 0;
overflow-wrap: anywhere; padding: .6rem .8rem }}
small {{ color: var(--quiet) }}
</style>
<h1>{name}</h1>
<p><b>●</b> This Matrix homeserver is running.</p>
<p>To use it, open any Matrix client, choose another homeserver, and enter
<code>{url}</code></p>
<p>Then log in, or register if this server allows it.</p>
<p><small>Powered by Roost</small></p>
</html>
"#
    )
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_is_text_and_the_page_is_small() {
        let shown = page("a.example", "https://m.example/<script>'\"&");
        assert!(shown.contains("https://m.example/&lt;script&gt;&#39;&quot;&amp;"), "{shown}");
        for never in ["<script", "<img", "<link", "href", "src=", "url(", "@import"] {
            assert!(!shown.contains(never), "{never}");
        }
        let longest = page(&"n".repeat(230), &format!("https://{}", "n".repeat(240)));
        assert!(longest.len() <= 2048, "{}", longest.len());
    }
}
