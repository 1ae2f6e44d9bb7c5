//! A small application of three programs, for the demo and for the tests of what links them.

use anyhow::Result;

use crate::{
    apps::App,
    nginx::Nginx,
    python::{Python, Workers},
};

/// nginx in front of node and python; node asks python.
///
/// `GET /api/node/quote/N` goes through all three: nginx, then node (`/quote/N`), then python (`/prices/N`).
#[derive(Debug)]
pub struct Shop {
    pub nginx: Nginx,
    /// Node.
    pub catalog: App,
    /// flask under gunicorn.
    pub orders: Python,
}

impl Shop {
    /// # Errors
    /// When one of the three does not start.
    pub fn start() -> Result<Self> {
        let orders = Python::gunicorn("demo.orders", Workers::Threads(4), &[])?;
        let prices = format!("http://127.0.0.1:{}", orders.port());
        let catalog = App::node_script("demo/catalog.js", &[("PRICES", &prices)])?;
        let proxy = |prefix: &str, name: &str| {
            format!(
                "location /api/{prefix}/ {{ proxy_pass http://{name}/; proxy_http_version 1.1; proxy_set_header Connection ''; }}\n"
            )
        };
        let upstream =
            |name: &str, port: u16| format!("upstream {name} {{ server 127.0.0.1:{port}; keepalive 8; }}\n");
        let upstreams = upstream("orders", orders.port()) + &upstream("catalog", catalog.port());
        let server = proxy("py", "orders") + &proxy("node", "catalog");
        let nginx = Nginx::with_upstreams(1, &upstreams, &server, &[("index.html", b"<h1>honey</h1>\n")])?;
        Ok(Self { nginx, catalog, orders })
    }
}
